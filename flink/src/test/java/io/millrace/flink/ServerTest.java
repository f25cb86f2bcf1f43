package io.millrace.flink;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;

/** What tests against a running server have in common: each class has a scope of its own. Classes run one after the other. */
@Tag("server")
@Timeout(value = 600, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
public abstract class ServerTest {
    protected static TestStore store;

    @BeforeAll
    public static void open() {
        store = new TestStore();
    }

    @AfterAll
    public static void close() {
        if (store != null) {
            store.close();
            store = null;
        }
    }
}
