package io.millrace.flink.docs;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The pages about the connector, and the blocks of code in them. */
final class Pages {
    static final Path ROOT = Path.of("").toAbsolutePath().resolve("..").normalize();
    private static final Pattern BLOCK = Pattern.compile("```(\\w+)\\n(.*?)```", Pattern.DOTALL);

    private Pages() {}

    static List<Path> all() {
        try (Stream<Path> files = Files.list(ROOT.resolve("docs/flink"))) {
            List<Path> result = new ArrayList<>(files.filter(file -> file.toString().endsWith(".md")).sorted().toList());
            result.add(ROOT.resolve("docs/flink.md"));
            return result;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The blocks of a page in one language. */
    static List<String> blocks(Path page, String language) {
        List<String> result = new ArrayList<>();
        Matcher matcher = BLOCK.matcher(read(page));
        while (matcher.find()) {
            if (matcher.group(1).equals(language)) {
                result.add(matcher.group(2));
            }
        }
        return result;
    }

    static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
