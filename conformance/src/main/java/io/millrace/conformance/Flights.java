package io.millrace.conformance;

import java.io.BufferedReader;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipInputStream;

/** The rows of flights.csv, plain or in a .zip or .gz. Its fields hold no quoted commas. */
final class Flights implements Closeable {
    private final BufferedReader in;
    private final int originColumn;
    private String row;
    private String origin;

    Flights(Path file) throws IOException {
        in = new BufferedReader(new InputStreamReader(open(file), StandardCharsets.UTF_8), 1 << 16);
        String header = in.readLine();
        originColumn = header == null ? -1 : Arrays.asList(header.replace("\"", "").split(",")).indexOf("origin");
        if (originColumn < 0) {
            in.close();
            throw new IOException(file + ": the first line names no column 'origin'");
        }
    }

    private static InputStream open(Path file) throws IOException {
        InputStream raw = Files.newInputStream(file);
        String name = file.getFileName().toString();
        if (name.endsWith(".gz")) {
            return new GZIPInputStream(raw, 1 << 16);
        }
        if (name.endsWith(".zip")) {
            ZipInputStream zip = new ZipInputStream(raw);
            if (zip.getNextEntry() == null) {
                zip.close();
                throw new EOFException(file + ": an empty or broken archive");
            }
            return zip;
        }
        return raw;
    }

    /** Steps to the next row; false at the end. */
    boolean next() throws IOException {
        row = in.readLine();
        if (row == null) {
            return false;
        }
        int from = 0;
        for (int i = 0; i < originColumn; i++) {
            from = row.indexOf(',', from) + 1;
            if (from == 0) {
                throw new IOException("a row with too few columns: " + row);
            }
        }
        int to = row.indexOf(',', from);
        origin = row.substring(from, to < 0 ? row.length() : to).replace("\"", "");
        return true;
    }

    String row() {
        return row;
    }

    String origin() {
        return origin;
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
