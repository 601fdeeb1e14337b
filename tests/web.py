"""Servers on the loopback interface that stand for the authors' site."""

import contextlib
import functools
import http.server
import threading
import time
import types


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *_):
        pass


class Truncating(QuietHandler):
    """Announces 1000 bytes of any file, and sends 10."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)


class Scripted(QuietHandler):
    """Sends `content` as a test's `asked` list grows; how, the test says.

    Args (of `serving`):
      content: bytes of the file.
      asked: list to which the headers of every request are added.
      tag: ETag, or None.
      ends_after: bytes after which an answer breaks off; None: never.
      knows_range, knows_if_range: what the server minds of a request for a part.
      redirect: where to, or None.
      drips: seconds between single bytes, or None.
      chunked: whether an answer comes in chunks, its length unsaid.
      headers_drip: whether headers come so, without an end.
    """

    def __init__(self, *args, **options):
        self.script = types.SimpleNamespace(
            **dict.fromkeys(("tag", "ends_after", "redirect", "drips", "headers_drip", "chunked")),
            knows_range=True,
            knows_if_range=True,
        )
        vars(self.script).update(options)
        super().__init__(*args)

    def do_GET(self):
        script, start = self.script, 0
        script.asked.append(dict(self.headers))
        with contextlib.suppress(ConnectionError):  # whoever asked has heard enough
            if script.headers_drip:
                self._drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000)
            if script.redirect:
                self.send_response(302)
                self.send_header("Location", script.redirect)
                self.end_headers()
                return
            span, condition = self.headers.get("Range"), self.headers.get("If-Range")
            is_same = condition == script.tag or not script.knows_if_range
            if span and script.knows_range and is_same:
                start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(script.content):
                self.send_error(416)
                return
            rest = script.content[start:]
            if script.chunked:
                self._chunk(rest)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            if script.tag:
                self.send_header("ETag", script.tag)
            if start:
                whole = len(script.content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            self.end_headers()
            if script.drips:
                self._drip(rest)
            else:
                self.wfile.write(rest[: script.ends_after])

    def _chunk(self, content):
        """An answer without a length, in chunks; without the last one's end if it breaks off."""
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = content[: self.script.ends_after]
        self.wfile.write(b"%x\r\n%b\r\n" % (len(sent), sent))
        if len(sent) == len(content):
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _drip(self, content):
        for i in range(len(content)):
            self.wfile.write(content[i : i + 1])
            self.wfile.flush()
            time.sleep(self.script.drips)


@contextlib.contextmanager
def serving(handler=QuietHandler, **options):
    """Yields the base URL of a server, such as `serving(directory=...)` of a folder."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, **options)
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
