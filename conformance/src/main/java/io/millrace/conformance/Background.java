package io.millrace.conformance;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** Threads beside the main one. The first failure of any of them is thrown where the main one waits next. */
final class Background {
    private static final long PATIENCE_MS = TimeUnit.SECONDS.toMillis(180);

    interface Body {
        void run() throws Exception;
    }

    private final AtomicReference<Throwable> failure = new AtomicReference<>();

    Thread start(Body body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (Throwable e) {
                fail(e);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    void fail(Throwable e) {
        failure.compareAndSet(null, e);
    }

    boolean failed() {
        return failure.get() != null;
    }

    void sleep(double seconds) throws InterruptedException {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        do {
            check();
            Thread.sleep(Math.min(100, Math.max(0, (end - System.nanoTime()) / 1_000_000)));
        } while (System.nanoTime() < end);
    }

    void join(Thread thread) throws InterruptedException {
        thread.join(PATIENCE_MS);
        check();
        if (thread.isAlive()) {
            throw new AssertionError("a thread does not end: " + thread.getName());
        }
    }

    private void check() {
        if (failed()) {
            throw new AssertionError(failure.get());
        }
    }
}
