#!/usr/bin/env python3
"""Throws malformed requests, clients that hang up and a thousand clients at once at `bitmill serve`.

    python3 storm.py --program build/bin/bitmill --model DIR [--malformed 100000] [--clients 1000]

needs Python's own library only. Between the parts it asks for one fixed text, which must never
change, and reads the resident memory of the server. Exit code 1 when the server died, did not answer,
or answered another text, also to one of the thousand. Prints one JSON object.
"""

import argparse
import concurrent.futures
import json
import pathlib
import random
import socket
import subprocess
import time

PATHS = ["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"]
BODIES = [
    {"prompt": "It was", "max_tokens": 1, "temperature": 0, "stop": ["a"], "stream": False},
    {"prompt": [[5, 6], [7]], "max_tokens": 1, "logprobs": 1, "echo": True, "seed": 1},
    {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1},
    {"prompt": "a", "add_special_tokens": False},
    {"tokens": [1, 2, 3]},
]
VALUES = [None, True, -1, 0, 1e308, 2**63, 2**64, "", "\ud83d", "x" * 300, [], [[]], {}, {"a": []},
          [None], [1, "a"], 0.5, [[[1]]]]


def head(path, length, more="", kind="application/json"):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {length}\r\n{more}\r\n").encode()


def exchange(port, data, half=False, timeout=60):
    """The reply's bytes; empty when there was none."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        try:
            client.sendall(data)
            if half:  # nothing more comes: no body may be waited for
                client.shutdown(socket.SHUT_WR)
            reply = b""
            while True:
                piece = client.recv(65536)
                if not piece:
                    return reply
                reply += piece
        except (ConnectionResetError, BrokenPipeError):
            return b""


def post(port, path, body, timeout=60):
    data = json.dumps(body).encode()
    return exchange(port, head(path, len(data), "Connection: close\r\n") + data, timeout=timeout)


def status_of(reply):
    return int(reply[9:12]) if reply.startswith(b"HTTP/1.1 ") else 0


def malformed_body(draw):
    """JSON of the right kind with a few things wrong, or bytes of a good one changed."""
    body = dict(draw.choice(BODIES))
    for _ in range(draw.randint(1, 3)):
        key = draw.choice([*body, "stop", "seed", "n", "grammar", "max_tokens", "logit_bias"])
        body[key] = draw.choice(VALUES)
    data = bytearray(json.dumps(body).encode())
    if draw.random() < 0.5:
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    if draw.random() < 0.1:
        data = data[:draw.randrange(len(data) + 1)]
    return bytes(data)


def malformed_request(draw):
    path, body = draw.choice(PATHS), malformed_body(draw)
    kind = draw.random()
    close = "Connection: close\r\n"
    if kind < 0.7:
        return head(path, len(body), close) + body
    if kind < 0.75:  # chunks, good and bad
        size = draw.choice([f"{len(body):x}", "zz", "-1", "ffffffffffffffff", ""])
        text = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n{close}"
        return (text + f"Transfer-Encoding: chunked\r\n\r\n{size}\r\n").encode() + body + b"\r\n0\r\n\r\n"
    if kind < 0.8:
        return head(path, draw.choice([-1, 2**70, "x", 10**9]), close) + body
    if kind < 0.85:
        return head(draw.choice(["/", "/%00", "/v1/../health", "*", "/" + "a" * 9000]), 0, close)
    if kind < 0.9:
        return head(path, len(body), close, draw.choice(["text/plain", "multipart/form-data", ""])) + body
    if kind < 0.95:
        good = bytearray(head(path, len(body), close) + body)
        for _ in range(draw.randint(1, 6)):
            good[draw.randrange(60)] = draw.randrange(256)
        return bytes(good)
    more = draw.choice(["Content-Encoding: gzip\r\n", "Range: bytes=0-0,1-1\r\n", "Expect: 1\r\n",
                        "X: " + "y" * 20000 + "\r\n", "Content-Length: 5\r\n"])
    return head(path, len(body), more + close) + body


def resident_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


FIXED = {"prompt": "It was a", "max_tokens": 40, "temperature": 1, "seed": 3, "logprobs": 2}


def fixed_text(port):
    for _ in range(100):
        reply = post(port, "/v1/completions", FIXED)
        if status_of(reply) == 200:
            return json.loads(reply.split(b"\r\n\r\n", 1)[1])["choices"]
        time.sleep(0.2)
    raise SystemExit("the server does not answer any more")


def throw_malformed(port, count, seed, workers=8):
    """How many replies there were of each status; 0: closed without one."""
    def throw(worker):
        draw, found = random.Random(workers * seed + worker), {}
        for _ in range(count // workers):
            status = status_of(exchange(port, malformed_request(draw), half=True))
            found[status] = found.get(status, 0) + 1
        return found

    statuses = {}
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for found in pool.map(throw, range(workers)):
            for status, times in found.items():
                statuses[status] = statuses.get(status, 0) + times
    return dict(sorted(statuses.items()))


def hang_up(port, count):
    """Streams of long texts, left after the first bytes."""
    body = json.dumps({"prompt": "It was a", "max_tokens": 400, "stream": True}).encode()
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(head("/v1/completions", len(body)) + body)
            client.recv(300)


def crowd(port, clients):
    """All connect first, then all ask. Whoever is told to come back does so."""
    body = {"prompt": "It was a", "max_tokens": 8, "temperature": 0}
    data = json.dumps(body).encode()
    request = head("/v1/completions", len(data), "Connection: close\r\n") + data
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=300) for _ in range(clients)]
    for one in sockets:
        one.sendall(request)
    texts, again, lost = set(), 0, 0
    for one in sockets:
        reply = b""
        try:
            while piece := one.recv(65536):
                reply += piece
        except ConnectionResetError:
            pass
        one.close()
        while status_of(reply) == 503:
            again += 1
            time.sleep(0.05)
            reply = post(port, "/v1/completions", body, timeout=300)
        if status_of(reply) != 200:
            lost += 1
            continue
        texts.add(json.loads(reply.split(b"\r\n\r\n", 1)[1])["choices"][0]["text"])
    return {"clients": clients, "told_to_come_back": again, "lost": lost, "different_texts": len(texts)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--malformed", type=int, default=100_000)
    parser.add_argument("--hang-ups", type=int, default=500)
    parser.add_argument("--clients", type=int, default=1000)
    words = parser.parse_args()
    server = subprocess.Popen([words.program, "serve", "--model", words.model, "--port", "0", "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = json.loads(server.stdout.readline())
    port = int(said["address"].rsplit(":", 1)[1])
    wanted = fixed_text(port)
    report = {"kernel": said["kernel"], "threads": said["threads"],
              "resident_kb": {"at first": resident_kb(server.pid)}}

    def part(name, work):
        began = time.monotonic()
        report[name] = {"result": work(), "seconds": round(time.monotonic() - began, 1),
                        "same text": fixed_text(port) == wanted}
        report["resident_kb"][name] = resident_kb(server.pid)
        print(name, report[name], report["resident_kb"][name], flush=True)

    part("crowd", lambda: crowd(port, words.clients))
    for third in range(3):
        part(f"malformed {third + 1}", lambda: throw_malformed(port, words.malformed // 3 + 8, third))
    part("hang-ups", lambda: hang_up(port, words.hang_ups))
    part("crowd again", lambda: crowd(port, words.clients))
    server.terminate()
    report["exit_code"] = server.wait(60)
    print(json.dumps(report, indent=1))
    parts = [value for value in report.values() if isinstance(value, dict) and "same text" in value]
    crowds = [report["crowd"]["result"], report["crowd again"]["result"]]
    good = report["exit_code"] == 0 and all(part["same text"] for part in parts)
    good = good and all(one["lost"] == 0 and one["different_texts"] <= 1 for one in crowds)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
