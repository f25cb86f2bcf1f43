package io.millrace.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;

/** A server of a test's own, which can be killed and started again with its data. Needs the program: $MILLRACE_BIN, else build/millrace. */
public final class TestServer implements AutoCloseable {
    private final Path script = Path.of("").toAbsolutePath().resolve("../tests/e2e/server.py").normalize();
    private final Path state;
    public final String controller;

    public TestServer() throws Exception {
        Path program = Path.of(System.getenv().getOrDefault("MILLRACE_BIN", script.resolveSibling("../../build/millrace").toString()));
        Assumptions.assumeTrue(Files.isExecutable(program), "no server's program at " + program);
        state = Files.createTempDirectory("millrace-flink-server-");
        String said = run("start");
        controller = said.lines().filter(line -> line.startsWith("CONTROLLER=")).findFirst().orElseThrow(() -> new IOException(said)).substring(11);
    }

    /** SIGKILL. */
    public void kill() throws Exception {
        run("kill");
    }

    /** On the same ports and data. */
    public void startAgain() throws Exception {
        run("restart");
    }

    private String run(String action) throws Exception {
        Path said = state.resolve("said");
        Process process = new ProcessBuilder("python3", script.toString(), action, state.toString()).redirectErrorStream(true)
                .redirectOutput(said.toFile()).start();
        if (!process.waitFor(120, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IOException(action + " of a server took too long");
        }
        String text = Files.readString(said, StandardCharsets.UTF_8);
        if (process.exitValue() != 0) {
            throw new IOException("server.py " + action + ": " + text);
        }
        return text;
    }

    @Override
    public void close() throws Exception {
        run("kill");
        try (var files = Files.walk(state)) {
            files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        }
    }
}
