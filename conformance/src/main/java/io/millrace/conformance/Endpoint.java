package io.millrace.conformance;

import io.pravega.client.ClientConfig;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;

/** The controller's address. The client itself tries for minutes before it gives up on a controller that is not there. */
final class Endpoint {
    private Endpoint() {
    }

    static ClientConfig reach(String controller) throws IOException {
        URI uri = URI.create(controller);
        if (uri.getHost() == null || uri.getPort() < 0) {
            throw new IOException("not a controller's address (tcp://HOST:PORT): " + controller);
        }
        try (Socket probe = new Socket()) {
            probe.connect(new InetSocketAddress(uri.getHost(), uri.getPort()), 5_000);
        } catch (IOException e) {
            throw new IOException("nothing answers at " + controller + ": " + e.getMessage(), e);
        }
        return ClientConfig.builder().controllerURI(uri).build();
    }
}
