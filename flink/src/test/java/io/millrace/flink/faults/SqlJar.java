package io.millrace.flink.faults;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Writes and reads a table with nothing but Flink and the jar for SQL on the class path. Arguments: controller, scope. */
public final class SqlJar {
    private SqlJar() {}

    public static void main(String[] args) throws Exception {
        Configuration configuration = new Configuration();
        configuration.setString("parallelism.default", "1");
        configuration.setString("taskmanager.memory.managed.size", "64m");
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.newInstance().inBatchMode().withConfiguration(configuration).build());
        tables.executeSql("CREATE CATALOG store WITH ('type' = 'millrace', 'controller' = '" + args[0] + "')");
        tables.executeSql("CREATE DATABASE IF NOT EXISTS store.`" + args[1] + "`");
        tables.executeSql("CREATE TABLE store.`" + args[1] + "`.t (id INT, name STRING) WITH ('format' = 'json', 'scan.bounded.mode' = 'tail',"
                + " 'sink.delivery-guarantee' = 'exactly-once')");
        tables.executeSql("INSERT INTO store.`" + args[1] + "`.t VALUES (1, 'one'), (2, 'two')").await();
        tables.executeSql("SELECT id, name FROM store.`" + args[1] + "`.t ORDER BY id").collect().forEachRemaining(row -> System.out.println(row));
        System.exit(0);
    }
}
