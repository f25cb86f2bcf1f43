package io.millrace.demo;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * Runs the statements of a file in batch mode, one after the other, on a cluster. Options: --file FILE.sql --jobmanager HOST:PORT and any
 * --name, whose value replaces ${name} in the file.
 */
public final class DelaysSql {
    private DelaysSql() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        String[] jobManager = options.get("jobmanager").split(":");
        String script = Files.readString(Path.of(options.get("file"))).replaceAll("(?m)^\\s*--.*$", "");
        for (int i = 0; i < args.length; i += 2) {
            script = script.replace("${" + args[i].substring(2) + "}", args[i + 1]);
        }
        Configuration configuration = new Configuration();
        configuration.setString("execution.target", "remote");
        configuration.setString("rest.address", jobManager[0]);
        configuration.setString("rest.port", jobManager[1]);
        configuration.setString("pipeline.name", "delays-sql");
        configuration.setString("parallelism.default", options.get("parallelism", "2"));
        configuration.setString("table.exec.resource.default-parallelism", options.get("parallelism", "2"));
        configuration.setString("table.local-time-zone", "UTC");
        TableEnvironment tables =
                TableEnvironment.create(EnvironmentSettings.newInstance().inBatchMode().withConfiguration(configuration).build());
        for (String statement : script.split(";\\s*\n")) {
            if (statement.isBlank()) {
                continue;
            }
            TableResult result = tables.executeSql(statement.strip());
            if (result.getJobClient().isPresent()) {
                System.out.println("job " + result.getJobClient().get().getJobID());
                result.await(10, TimeUnit.MINUTES);
            }
        }
        System.exit(0);
    }
}
