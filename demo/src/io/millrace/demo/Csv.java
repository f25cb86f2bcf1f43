package io.millrace.demo;

import io.millrace.demo.Events.Departure;
import io.millrace.demo.Events.Weather;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Reads the data set's files, of which no field is quoted. */
final class Csv {
    private static final String UNKNOWN = "NA";
    private final Map<String, Integer> columns = new HashMap<>();
    private String[] row;

    private Csv(String header) {
        String[] names = header.split(",");
        for (int i = 0; i < names.length; i++) {
            columns.put(names[i], i);
        }
    }

    private String text(String column) {
        return row[columns.get(column)];
    }

    private int number(String column) {
        return Integer.parseInt(text(column));
    }

    private Double decimal(String column) {
        return text(column).equals(UNKNOWN) ? null : Double.valueOf(text(column));
    }

    /** Start of the hour, which the files give in universal time. */
    private long hour() {
        return Instant.parse(text("time_hour")).toEpochMilli();
    }

    /** @return the departures scheduled in the first {@code months} months of the year, by the time when they left */
    static List<Departure> departures(Path file, int months) throws IOException {
        List<Departure> result = new ArrayList<>();
        try (BufferedReader in = Files.newBufferedReader(file)) {
            Csv csv = new Csv(in.readLine());
            int id = 0;
            for (String line; (line = in.readLine()) != null;) {
                id++;
                csv.row = line.split(",", -1);
                if (csv.number("month") > months) {
                    continue;
                }
                Departure flight = new Departure();
                flight.id = id;
                flight.delay = csv.text("dep_delay").equals(UNKNOWN) ? null : csv.number("dep_delay");
                flight.eventTime = csv.hour() + 60_000L * (csv.number("minute") + (flight.delay == null ? 0 : flight.delay));
                flight.origin = csv.text("origin");
                flight.dest = csv.text("dest");
                flight.carrier = csv.text("carrier");
                flight.flight = csv.number("flight");
                result.add(flight);
            }
        }
        result.sort(Comparator.comparingLong(flight -> flight.eventTime));
        return result;
    }

    /** @return the observations of the first {@code months} months, by time */
    static List<Weather> weather(Path file, int months) throws IOException {
        List<Weather> result = new ArrayList<>();
        try (BufferedReader in = Files.newBufferedReader(file)) {
            Csv csv = new Csv(in.readLine());
            for (String line; (line = in.readLine()) != null;) {
                csv.row = line.split(",", -1);
                if (csv.number("month") > months) {
                    continue;
                }
                Weather weather = new Weather();
                weather.eventTime = csv.hour();
                weather.origin = csv.text("origin");
                weather.temp = csv.decimal("temp");
                weather.windSpeed = csv.decimal("wind_speed");
                weather.precip = csv.decimal("precip");
                weather.visib = csv.decimal("visib");
                result.add(weather);
            }
        }
        result.sort(Comparator.comparingLong(observation -> observation.eventTime));
        return result;
    }
}
