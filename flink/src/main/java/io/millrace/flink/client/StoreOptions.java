package io.millrace.flink.client;

import java.io.Serializable;
import java.net.URI;
import java.time.Duration;
import java.util.Objects;

/** How to reach a server, and as whom. Immutable; travels with the job. */
public final class StoreOptions implements Serializable {
    private static final long serialVersionUID = 1L;

    private final URI controller;
    private final String authMethod;
    private final String authToken;
    private final String trustStore;
    private final boolean validateHostName;
    private final long retryMillis;

    private StoreOptions(URI controller, String authMethod, String authToken, String trustStore, boolean validateHostName, long retryMillis) {
        this.controller = Objects.requireNonNull(controller, "the controller's address is missing");
        this.authMethod = authMethod;
        this.authToken = authToken;
        this.trustStore = trustStore;
        this.validateHostName = validateHostName;
        this.retryMillis = retryMillis;
    }

    /** @param controller as {@code tcp://host:9090} or {@code tls://host:9090}; several addresses are separated by commas */
    public static StoreOptions of(String controller) {
        return new StoreOptions(URI.create(controller), null, null, null, true, 120_000);
    }

    /** @param method as {@code Basic} or {@code Bearer}; @param token what is sent with it, for Basic the Base64 of user:password */
    public StoreOptions withAuth(String method, String token) {
        return new StoreOptions(controller, method, token, trustStore, validateHostName, retryMillis);
    }

    /**
     * How long a server that does not answer is asked again before a call, and with it the job, fails; Flink then restarts the job as its
     * restart strategy says. Default 2 minutes, at least 1 second.
     */
    public StoreOptions withRetryTimeout(Duration timeout) {
        if (timeout.toMillis() < 1000) {
            throw new IllegalArgumentException("a server is asked again for at least 1 s");
        }
        return new StoreOptions(controller, authMethod, authToken, trustStore, validateHostName, timeout.toMillis());
    }

    /** @param file certificate of the authority that signed the server's, on every machine of the cluster */
    public StoreOptions withTrustStore(String file, boolean validateName) {
        return new StoreOptions(controller, authMethod, authToken, file, validateName, retryMillis);
    }

    public URI controller() {
        return controller;
    }

    String authMethod() {
        return authMethod;
    }

    String authToken() {
        return authToken;
    }

    String trustStore() {
        return trustStore;
    }

    boolean validateHostName() {
        return validateHostName;
    }

    public long retryMillis() {
        return retryMillis;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StoreOptions o && controller.equals(o.controller) && Objects.equals(authMethod, o.authMethod)
                && Objects.equals(authToken, o.authToken) && Objects.equals(trustStore, o.trustStore) && validateHostName == o.validateHostName
                && retryMillis == o.retryMillis;
    }

    @Override
    public int hashCode() {
        return Objects.hash(controller, authMethod, authToken, trustStore, validateHostName, retryMillis);
    }

    /** Without the token. */
    @Override
    public String toString() {
        return controller.toString();
    }
}
