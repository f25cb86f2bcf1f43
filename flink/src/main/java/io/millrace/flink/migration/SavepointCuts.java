package io.millrace.flink.migration;

import io.pravega.client.stream.Checkpoint;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.MasterState;

/**
 * Finds the positions in a checkpoint or savepoint that a job with the older connector's {@code FlinkPravegaReader} left: it has Flink keep
 * the checkpoint of its reader group. As a program it prints, for each reader and stream, a line {@code UID scope/stream CUT}.
 */
public final class SavepointCuts {
    private SavepointCuts() {}

    /** One argument: the savepoint's folder. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            System.err.println("usage: SavepointCuts FOLDER-OF-THE-SAVEPOINT");
            System.exit(2);
        }
        Map<String, Map<String, String>> found = of(Path.of(arguments[0]));
        found.forEach((reader, cuts) -> cuts.forEach((stream, cut) -> System.out.println(reader + " " + stream + " " + cut)));
        if (found.isEmpty()) {
            System.err.println("no FlinkPravegaReader has left its position in " + arguments[0]);
            System.exit(1);
        }
    }

    /**
     * The readers' uids to their streams, as scope/stream, to stream cuts in the client's text form.
     *
     * @param savepoint the folder with the file {@code _metadata}
     */
    public static Map<String, Map<String, String>> of(Path savepoint) throws IOException {
        Map<String, Map<String, String>> result = new TreeMap<>();
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(savepoint.resolve("_metadata"))))) {
            for (MasterState state : Checkpoints.loadCheckpointMetadata(in, SavepointCuts.class.getClassLoader(), savepoint.toString()).getMasterStates()) {
                Map<String, String> cuts = new TreeMap<>();
                Checkpoint.fromBytes(ByteBuffer.wrap(state.bytes())).asImpl().getPositions()
                        .forEach((stream, cut) -> cuts.put(stream.getScopedName(), cut.asText()));
                result.put(state.name(), cuts);
            }
        }
        return result;
    }
}
