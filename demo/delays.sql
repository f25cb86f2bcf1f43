-- The windows of the job, once more in SQL: the tables are streams, found by name through the catalog.
CREATE CATALOG millrace WITH ('type' = 'millrace', 'controller' = '${controller}', 'default-database' = '${scope}');
USE CATALOG millrace;

CREATE TABLE IF NOT EXISTS departures (
    id INT, eventTime BIGINT, origin STRING, dest STRING, carrier STRING, flight INT, delay INT,
    ts AS TO_TIMESTAMP_LTZ(eventTime, 3),
    WATERMARK FOR ts AS ts
) WITH ('format' = 'json');

CREATE TABLE IF NOT EXISTS weather (
    eventTime BIGINT, origin STRING, temp DOUBLE, windSpeed DOUBLE, precip DOUBLE, visib DOUBLE,
    ts AS TO_TIMESTAMP_LTZ(eventTime, 3),
    WATERMARK FOR ts AS ts
) WITH ('format' = 'json');

CREATE TABLE IF NOT EXISTS `delays-sql` (
    hourStart BIGINT, origin STRING, carrier STRING, flights INT, cancelled INT, late INT, totalDelay INT, maxDelay INT,
    temp DOUBLE, windSpeed DOUBLE, precip DOUBLE, visib DOUBLE
) WITH ('format' = 'json', 'sink.delivery-guarantee' = 'exactly-once', 'sink.routing-key.fields' = 'origin;carrier');

CREATE TEMPORARY VIEW left_between AS SELECT * FROM departures /*+ OPTIONS(
    'scan.startup.mode' = 'stream-cut', 'scan.startup.stream-cuts' = '${scope}/departures:${from-departures}',
    'scan.bounded.mode' = 'stream-cut', 'scan.bounded.stream-cuts' = '${scope}/departures:${to-departures}') */;

CREATE TEMPORARY VIEW observed_between AS SELECT * FROM weather /*+ OPTIONS(
    'scan.startup.mode' = 'stream-cut', 'scan.startup.stream-cuts' = '${scope}/weather:${from-weather}',
    'scan.bounded.mode' = 'stream-cut', 'scan.bounded.stream-cuts' = '${scope}/weather:${to-weather}') */;

INSERT INTO `delays-sql`
SELECT CAST(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', d.window_start) AS BIGINT) * 1000, d.origin, d.carrier,
    CAST(COUNT(*) AS INT), CAST(COUNT(*) - COUNT(d.delay) AS INT), CAST(COUNT(*) FILTER (WHERE d.delay >= 15) AS INT),
    COALESCE(SUM(d.delay), 0), MAX(d.delay), MAX(w.temp), MAX(w.windSpeed), MAX(w.precip), MAX(w.visib)
FROM (SELECT * FROM TABLE(TUMBLE(TABLE left_between, DESCRIPTOR(ts), INTERVAL '1' HOUR))) AS d
LEFT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE observed_between, DESCRIPTOR(ts), INTERVAL '1' HOUR))) AS w
    ON d.origin = w.origin AND d.window_start = w.window_start AND d.window_end = w.window_end
GROUP BY d.window_start, d.window_end, d.origin, d.carrier;
