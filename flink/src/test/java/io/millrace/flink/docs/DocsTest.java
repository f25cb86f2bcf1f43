package io.millrace.flink.docs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.table.MillraceOptions;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.flink.configuration.ConfigOption;
import org.junit.jupiter.api.Test;

/** What the pages show is code that is compiled and run elsewhere, and the tests that they name exist. */
class DocsTest {
    private static final Path TESTS = Pages.ROOT.resolve("flink/src/test/java/io/millrace/flink");
    private static final Pattern NAMED_TEST = Pattern.compile("`([A-Z]\\w+(?:IT|Test))(?:\\.(\\w+))?`");

    private static String lines(String text) {
        return text.lines().map(String::strip).filter(line -> !line.isEmpty()).collect(Collectors.joining("\n"));
    }

    @Test
    void javaIsOfTheSamples() {
        String samples = lines(Pages.read(TESTS.resolve("docs/Samples.java")));
        int found = 0;
        for (Path page : Pages.all()) {
            for (String block : Pages.blocks(page, "java")) {
                assertTrue(samples.contains(lines(block)), page + " shows what is not in Samples.java:\n" + block);
                found++;
            }
        }
        assertTrue(found >= 8, found + " samples");
    }

    @Test
    void pythonIsOfTheExample() {
        String example = lines(Pages.read(Pages.ROOT.resolve("flink/examples/totals.py")));
        for (Path page : Pages.all()) {
            for (String block : Pages.blocks(page, "python")) {
                assertTrue(example.contains(lines(block)), page + " shows what is not in totals.py:\n" + block);
            }
        }
    }

    @Test
    void namedTestsExist() throws Exception {
        List<String> missing = new ArrayList<>();
        for (Path page : Pages.all()) {
            Matcher matcher = NAMED_TEST.matcher(Pages.read(page));
            while (matcher.find()) {
                String name = matcher.group(1);
                try (var files = Files.walk(TESTS)) {
                    Path file = files.filter(candidate -> candidate.endsWith(name + ".java")).findFirst().orElse(null);
                    if (file == null || (matcher.group(2) != null && !Pages.read(file).contains("void " + matcher.group(2) + "("))) {
                        missing.add(page.getFileName() + ": " + matcher.group());
                    }
                }
            }
        }
        assertEquals(List.of(), missing);
    }

    @Test
    void everyOptionIsOnThePage() throws Exception {
        String page = Pages.read(Pages.ROOT.resolve("docs/flink/sql.md"));
        Set<String> missing = new java.util.TreeSet<>();
        for (Field field : MillraceOptions.class.getFields()) {
            if (Modifier.isStatic(field.getModifiers()) && ConfigOption.class.isAssignableFrom(field.getType())) {
                String key = ((ConfigOption<?>) field.get(null)).key();
                if (!page.contains("`" + key + "`")) {
                    missing.add(key);
                }
            }
        }
        assertEquals(Set.of(), missing);
    }
}
