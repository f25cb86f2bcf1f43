package io.millrace.demo;

/**
 * What the demo's streams hold, as JSON. Times are milliseconds since the epoch; null stands for what the data set does not know. The fields
 * are public because Flink's serializers and those of JSON want them so.
 */
public final class Events {
    public static final long HOUR = 3_600_000;
    /** A departure is late from so many minutes on, as the authorities count. */
    public static final int LATE_MINUTES = 15;

    private Events() {}

    /** A flight at the minute when it left or, cancelled, should have left. */
    public static class Departure {
        /** Line of the csv, from 1. */
        public int id;
        public long eventTime;
        public String origin;
        public String dest;
        public String carrier;
        public int flight;
        /** Minutes, negative for early; null: cancelled. */
        public Integer delay;
    }

    /** An hour's weather at an airport, from the beginning of that hour. */
    public static class Weather {
        public long eventTime;
        public String origin;
        public Double temp;
        public Double windSpeed;
        public Double precip;
        public Double visib;
    }

    /** A departure with the weather of its hour; without, where there is no observation. */
    public static class Joined {
        public int id;
        public long eventTime;
        public String origin;
        public String dest;
        public String carrier;
        public int flight;
        public Integer delay;
        public Double temp;
        public Double windSpeed;
        public Double precip;
        public Double visib;
    }

    /** The departures of a carrier from an airport in an hour. */
    public static class Delays {
        public long hourStart;
        public String origin;
        public String carrier;
        public int flights;
        public int cancelled;
        public int late;
        /** Minutes, of those that left. */
        public int totalDelay;
        public Integer maxDelay;
        public Double temp;
        public Double windSpeed;
        public Double precip;
        public Double visib;
    }
}
