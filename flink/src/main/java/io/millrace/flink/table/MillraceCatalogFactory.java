package io.millrace.flink.table;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.catalog.Catalog;
import org.apache.flink.table.factories.CatalogFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** {@code CREATE CATALOG ... WITH ('type' = 'millrace', ...)}. */
public final class MillraceCatalogFactory implements CatalogFactory {
    @Override
    public String factoryIdentifier() {
        return MillraceTableFactory.IDENTIFIER;
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(MillraceOptions.CONTROLLER);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(MillraceOptions.DEFAULT_DATABASE, MillraceOptions.AUTH_TYPE, MillraceOptions.AUTH_TOKEN, MillraceOptions.TRUST_STORE,
                MillraceOptions.VALIDATE_HOSTNAME, MillraceOptions.RETRY_TIMEOUT, MillraceOptions.DROP_STREAMS, FactoryUtil.PROPERTY_VERSION);
    }

    @Override
    public Catalog createCatalog(Context context) {
        FactoryUtil.CatalogFactoryHelper helper = FactoryUtil.createCatalogFactoryHelper(this, context);
        helper.validate();
        ReadableConfig options = helper.getOptions();
        Map<String, String> connection = new HashMap<>();
        for (ConfigOption<?> option : new ConfigOption<?>[] {MillraceOptions.CONTROLLER, MillraceOptions.AUTH_TYPE, MillraceOptions.AUTH_TOKEN,
            MillraceOptions.TRUST_STORE, MillraceOptions.VALIDATE_HOSTNAME, MillraceOptions.RETRY_TIMEOUT}) {
            String value = context.getOptions().get(option.key());
            if (value != null) {
                connection.put(option.key(), value);
            }
        }
        return new MillraceCatalog(context.getName(), options.get(MillraceOptions.DEFAULT_DATABASE), MillraceOptions.store(options), connection,
                options.get(MillraceOptions.DROP_STREAMS));
    }
}
