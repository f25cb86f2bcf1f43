package io.millrace.flink.table;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.catalog.CatalogBaseTable;
import org.apache.flink.table.catalog.CatalogDatabase;
import org.apache.flink.table.catalog.CatalogDatabaseImpl;
import org.apache.flink.table.catalog.CatalogTable;
import org.apache.flink.table.catalog.ObjectPath;
import org.apache.flink.table.catalog.ResolvedCatalogTable;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.apache.flink.table.catalog.exceptions.DatabaseAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotEmptyException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotExistException;
import org.apache.flink.table.catalog.exceptions.TableAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.TableNotExistException;

/**
 * Scopes as databases, streams as tables. A table that was created in the catalog has its schema and options; any other stream is a table
 * with one column {@code event} of raw bytes.
 */
final class MillraceCatalog extends TablesOnlyCatalog {
    private final StoreOptions options;
    /** Options that tables need to reach the server. */
    private final Map<String, String> connection;
    private final boolean dropDeletesStreams;
    private StoreClient client;

    MillraceCatalog(String name, String defaultDatabase, StoreOptions options, Map<String, String> connection, boolean dropDeletesStreams) {
        super(name, defaultDatabase);
        this.options = options;
        this.connection = connection;
        this.dropDeletesStreams = dropDeletesStreams;
    }

    @Override
    public void open() {
        client = new StoreClient(options);
    }

    @Override
    public void close() {
        if (client != null) {
            client.close();
            client = null;
        }
    }

    private interface Call<R> {
        R run() throws IOException;
    }

    private <R> R call(Call<R> call) {
        try {
            return call.run();
        } catch (IOException e) {
            throw new CatalogException("catalog " + getName() + ": " + e.getMessage(), e);
        }
    }

    @Override
    public List<String> listDatabases() {
        return call(() -> client.scopes());
    }

    @Override
    public CatalogDatabase getDatabase(String name) throws DatabaseNotExistException {
        if (!databaseExists(name)) {
            throw new DatabaseNotExistException(getName(), name);
        }
        return new CatalogDatabaseImpl(Map.of(), "scope " + name);
    }

    @Override
    public boolean databaseExists(String name) {
        return call(() -> client.await(client.controller().checkScopeExists(name), "look for scope " + name));
    }

    @Override
    public void createDatabase(String name, CatalogDatabase database, boolean ignoreIfExists) throws DatabaseAlreadyExistException {
        boolean created = call(() -> client.await(client.controller().createScope(name), "create scope " + name));
        if (!created && !ignoreIfExists) {
            throw new DatabaseAlreadyExistException(getName(), name);
        }
    }

    @Override
    public void dropDatabase(String name, boolean ignoreIfNotExists, boolean cascade) throws DatabaseNotExistException, DatabaseNotEmptyException {
        if (!databaseExists(name)) {
            if (ignoreIfNotExists) {
                return;
            }
            throw new DatabaseNotExistException(getName(), name);
        }
        List<StreamName> streams = call(() -> client.streams(name));
        streams.removeIf(stream -> stream.name().equals(TableDefinitions.STREAM));
        if (!streams.isEmpty() && !(cascade && dropDeletesStreams)) {
            throw new DatabaseNotEmptyException(getName(), name);
        }
        call(() -> {
            for (StreamName stream : client.streams(name)) {
                client.deleteStream(stream);
            }
            return client.await(client.controller().deleteScope(name), "delete scope " + name);
        });
    }

    @Override
    public List<String> listTables(String database) throws DatabaseNotExistException {
        if (!databaseExists(database)) {
            throw new DatabaseNotExistException(getName(), database);
        }
        List<String> result = new ArrayList<>();
        for (StreamName stream : call(() -> client.streams(database))) {
            if (!stream.name().equals(TableDefinitions.STREAM)) {
                result.add(stream.name());
            }
        }
        return result;
    }

    private StreamName stream(ObjectPath path) {
        try {
            return new StreamName(path.getDatabaseName(), path.getObjectName());
        } catch (IllegalArgumentException e) {
            throw new CatalogException("a table of this catalog is a stream, whose name has letters, digits, '.' and '-' only: " + path, e);
        }
    }

    @Override
    public boolean tableExists(ObjectPath path) {
        if (path.getObjectName().equals(TableDefinitions.STREAM)) {
            return false;
        }
        try {
            new StreamName(path.getDatabaseName(), path.getObjectName());
        } catch (IllegalArgumentException e) {
            return false;
        }
        return databaseExists(path.getDatabaseName()) && call(() -> client.exists(stream(path)));
    }

    @Override
    public CatalogBaseTable getTable(ObjectPath path) throws TableNotExistException {
        if (!tableExists(path)) {
            throw new TableNotExistException(getName(), path);
        }
        Map<String, String> properties = call(() -> new TableDefinitions(client, path.getDatabaseName()).read().get(path.getObjectName()));
        CatalogTable table;
        if (properties == null) {
            table = CatalogTable.newBuilder().schema(Schema.newBuilder().column("event", DataTypes.BYTES()).build())
                    .comment("stream " + stream(path)).options(Map.of("format", "raw")).build();
        } else {
            table = CatalogTable.fromProperties(properties);
        }
        Map<String, String> all = new HashMap<>(table.getOptions());
        all.putAll(connection);
        all.put("connector", MillraceTableFactory.IDENTIFIER);
        all.put(MillraceOptions.STREAM.key(), stream(path).toString());
        return table.copy(all);
    }

    /** What is kept of a table: not what the catalog itself knows, nor secrets. */
    private Map<String, String> definition(ObjectPath path, CatalogBaseTable table) {
        if (!(table instanceof ResolvedCatalogTable resolved)) {
            throw new UnsupportedOperationException("a catalog of streams has tables only, no views");
        }
        Map<String, String> kept = new HashMap<>(resolved.getOptions());
        String connector = kept.remove("connector");
        String other = kept.remove(MillraceOptions.STREAM.key());
        if ((connector != null && !connector.equals(MillraceTableFactory.IDENTIFIER)) || (other != null && !other.equals(stream(path).toString()))) {
            throw new CatalogException("a table of this catalog is the stream of its name: leave out 'connector' and 'stream'");
        }
        connection.keySet().forEach(kept::remove);
        return resolved.copy(kept).toProperties();
    }

    @Override
    public void createTable(ObjectPath path, CatalogBaseTable table, boolean ignoreIfExists) throws TableAlreadyExistException, DatabaseNotExistException {
        if (!databaseExists(path.getDatabaseName())) {
            throw new DatabaseNotExistException(getName(), path.getDatabaseName());
        }
        StreamName stream = stream(path);
        if (stream.name().equals(TableDefinitions.STREAM)) {
            throw new CatalogException("the stream " + stream + " holds the definitions of tables");
        }
        Map<String, String> definition = definition(path, table);
        TableDefinitions definitions = new TableDefinitions(client, stream.scope());
        if (call(definitions::read).containsKey(stream.name()) && call(() -> client.exists(stream))) {
            if (ignoreIfExists) {
                return;
            }
            throw new TableAlreadyExistException(getName(), path);
        }
        int segments = Integer.parseInt(table.getOptions().getOrDefault(MillraceOptions.SEGMENTS.key(), "1"));
        // A stream that is there already gets the schema that it is read with.
        call(() -> client.createStream(stream, segments));
        call(() -> {
            definitions.update(stream.name(), before -> definition);
            return null;
        });
    }

    @Override
    public void alterTable(ObjectPath path, CatalogBaseTable table, boolean ignoreIfNotExists) throws TableNotExistException {
        if (!tableExists(path)) {
            if (ignoreIfNotExists) {
                return;
            }
            throw new TableNotExistException(getName(), path);
        }
        Map<String, String> definition = definition(path, table);
        call(() -> {
            new TableDefinitions(client, path.getDatabaseName()).update(path.getObjectName(), before -> definition);
            return null;
        });
    }

    @Override
    public void dropTable(ObjectPath path, boolean ignoreIfNotExists) throws TableNotExistException {
        if (!tableExists(path)) {
            if (ignoreIfNotExists) {
                return;
            }
            throw new TableNotExistException(getName(), path);
        }
        TableDefinitions definitions = new TableDefinitions(client, path.getDatabaseName());
        boolean defined = call(definitions::read).containsKey(path.getObjectName());
        if (!defined && !dropDeletesStreams) {
            throw new CatalogException("the stream " + stream(path) + " was not created here; to delete streams, create the catalog with '"
                    + MillraceOptions.DROP_STREAMS.key() + "' = 'true'");
        }
        call(() -> {
            if (defined) {
                definitions.update(path.getObjectName(), before -> null);
            }
            if (dropDeletesStreams) {
                client.deleteStream(stream(path));
            }
            return null;
        });
    }
}
