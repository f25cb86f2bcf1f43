"""An S3 server in memory that fails on demand: just what Millrace asks of one, over HTTP/1.1; signatures are not looked at.

    with FaultyS3() as s3:
        server = Server(..., options=s3.options(), environment=s3.environment())
        s3.fail_share = 0.2       # 500 and 503 in turn; half of the 500s come after the work was done
        s3.lost_share = 0.02      # the work is done, and the connection ends without a reply
        s3.down(), s3.up()        # refuses and resets connections meanwhile

With `behind` = (host, port) it keeps nothing itself: requests are passed on to that server, unchanged, so that faults meet a real one.
"""
import email.utils
import hashlib
import http.client
import http.server
import random
import re
import socket
import socketserver
import struct
import threading
import time
import urllib.parse
import xml.etree.ElementTree
from xml.sax.saxutils import escape

BUCKET = "bucket"
ID_HEADER = "x-amz-meta-millrace-id"
BODY_MAX = 300 << 20


class Object:
    def __init__(self, data, identity):
        self.data, self.identity, self.modified = data, identity, time.time()
        self.etag = hashlib.md5(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.server.owner.connections.add(self.connection)

    def finish(self):
        self.server.owner.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def reply(self, status, body=b"", headers=None):
        self.send_response(status)
        headers = {name: value for name, value in (headers or {}).items() if value}
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def refuse(self, status, code):
        self.reply(status, f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as told</Message></Error>'.encode())

    def serve(self):
        size = int(self.headers.get("content-length") or 0)
        if size > BODY_MAX:
            self.close_connection = True
            return
        body = self.rfile.read(size)
        s3 = self.server.owner
        fault = s3.next_fault()
        if fault == "refused":
            return self.refuse(500, "InternalError")
        if fault == "slow":
            return self.refuse(503, "SlowDown")
        status, data, headers = s3.work(self.command, self.path, self.headers, body)
        if s3.is_down or fault == "lost":
            self.close_connection = True
            return
        if fault == "late":
            return self.refuse(500, "InternalError")
        self.reply(status, data, headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve


class Listener(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


def error(status, code):
    return status, f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode(), {}


class FaultyS3:
    def __init__(self, behind=None, bucket=BUCKET, seed=1):
        self.behind, self.bucket = behind, bucket
        self.objects, self.uploads = {}, {}
        self.lock = threading.Lock()
        self.random = random.Random(seed)
        self.fail_share = self.lost_share = 0.0
        self.requests = self.faults = self.puts = 0
        self.is_down = False
        self.connections = set()
        self.listener = None
        self.port = 0

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def up(self):
        self.is_down = False
        self.listener = Listener(("127.0.0.1", self.port), Handler)
        self.listener.owner = self
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def down(self):
        self.is_down = True
        self.listener.shutdown()
        self.listener.server_close()
        for connection in list(self.connections):
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def options(self, prefix=""):
        return ["--storage", "s3", "--s3-endpoint", f"http://127.0.0.1:{self.port}", "--s3-region", "us-east-1", "--s3-bucket",
                self.bucket, "--s3-access-key", "some"] + (["--s3-prefix", prefix] if prefix else [])

    @staticmethod
    def environment():
        return {"MILLRACE_S3_SECRET_KEY": "thing"}

    def next_fault(self):
        with self.lock:
            self.requests += 1
            draw = self.random.random()
            if draw < self.lost_share:
                fault = "lost"
            elif draw < self.lost_share + self.fail_share:
                fault = self.random.choice(("refused", "late", "slow", "slow"))
            else:
                return None
            self.faults += 1
            return fault

    def work(self, method, target, headers, body):
        if self.behind is not None:
            return self.pass_on(method, target, headers, body)
        with self.lock:
            return self.answer(method, target, headers, body)

    def pass_on(self, method, target, headers, body):
        connection = http.client.HTTPConnection(*self.behind, timeout=60)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body if body or method in ("PUT", "POST") else None)
            reply = connection.getresponse()
            data = reply.read()
            kept = {name.lower(): value for name, value in reply.getheaders()
                    if name.lower() not in ("transfer-encoding", "connection", "date", "server")}
            return reply.status, data, kept
        finally:
            connection.close()

    # ---- the server in memory; under the lock ----

    def answer(self, method, target, headers, body):
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(parts.path).lstrip("/").partition("/")
        if bucket != self.bucket:
            return error(404, "NoSuchBucket")
        if method == "PUT":
            return self.put_part(key, query, body) if "uploadId" in query else self.put(key, headers, Object(
                body, headers.get(ID_HEADER)))
        if method == "POST":
            return self.begin(key, headers) if "uploads" in query else self.complete(key, query, headers, body)
        if method == "DELETE":
            if "uploadId" in query:
                return (204, b"", {}) if self.uploads.pop(query["uploadId"], None) else error(404, "NoSuchUpload")
            self.objects.pop(key, None)
            return 204, b"", {}
        if "uploads" in query:
            return 200, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>", {}
        return self.get(method, key, headers) if key else self.list(query)

    def put(self, key, headers, made):
        there = self.objects.get(key)
        if headers.get("if-none-match") == "*" and there:
            return error(412, "PreconditionFailed")
        if headers.get("if-match"):
            if there is None:
                return error(404, "NoSuchKey")
            if headers["if-match"].strip('"') != there.etag:
                return error(412, "PreconditionFailed")
        self.objects[key] = made
        self.puts += 1
        return 200, b"", {"etag": f'"{made.etag}"'}

    def put_part(self, key, query, body):
        upload = self.uploads.get(query["uploadId"])
        if upload is None or upload["key"] != key:
            return error(404, "NoSuchUpload")
        made = Object(body, None)
        upload["parts"][int(query["partNumber"])] = made
        return 200, b"", {"etag": f'"{made.etag}"'}

    def begin(self, key, headers):
        identity = f"upload-{len(self.uploads)}-{self.random.random()}"
        self.uploads[identity] = {"key": key, "identity": headers.get(ID_HEADER), "parts": {}}
        return 200, (f"<InitiateMultipartUploadResult><UploadId>{identity}</UploadId>"
                     "</InitiateMultipartUploadResult>").encode(), {}

    def complete(self, key, query, headers, body):
        upload = self.uploads.get(query.get("uploadId", ""))
        if upload is None or upload["key"] != key:
            return error(404, "NoSuchUpload")
        data = b""
        for part in xml.etree.ElementTree.fromstring(body):
            fields = {re.sub(r"\{.*\}", "", field.tag): field.text for field in part}
            made = upload["parts"].get(int(fields["PartNumber"]))
            if made is None or made.etag != fields["ETag"].strip('"'):
                return error(400, "InvalidPart")
            data += made.data
        done = self.put(key, headers, Object(data, upload["identity"]))
        if done[0] == 200:
            del self.uploads[query["uploadId"]]
            return 200, b"<CompleteMultipartUploadResult><Key/></CompleteMultipartUploadResult>", {}
        return done

    def get(self, method, key, headers):
        found = self.objects.get(key)
        if found is None:
            return error(404, "NoSuchKey")
        data, status = found.data, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range") or "")
        if wanted and method == "GET":
            if int(wanted[1]) >= len(data):
                return error(416, "InvalidRange")
            data, status = data[int(wanted[1]):int(wanted[2]) + 1], 206
        return status, data, {"etag": f'"{found.etag}"', "content-length": str(len(data)), ID_HEADER: found.identity,
                              "last-modified": email.utils.formatdate(found.modified, usegmt=True)}

    def list(self, query):
        prefix, after, most = query.get("prefix", ""), query.get("start-after", ""), int(query.get("max-keys", 1000))
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        body = "".join(f"<Contents><Key>{escape(key)}</Key><LastModified>"
                       f"{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(self.objects[key].modified))}</LastModified>"
                       f"<Size>{len(self.objects[key].data)}</Size></Contents>" for key in keys[:most])
        return 200, ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>'
                     f"{'true' if len(keys) > most else 'false'}</IsTruncated>{body}</ListBucketResult>").encode(), {}
