"""An output: appends events to the file `config.path`, and says that they arrived when it is safe."""
import json
import os
import sys

stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
path = json.loads(stdin.readline())["config"]["path"]
stdout.write(b'{"dpipe":1,"name":"journal","version":"1.0"}\n')
stdout.flush()
for header in stdin:
    header = json.loads(header)
    events = [stdin.readline() for _ in range(header["events"])]
    answer = {"batch": header["batch"]}
    answer["refused"] = {i: "too long" for i, event in enumerate(events) if len(event) > 1000}
    try:
        with open(path, "ab") as file:
            file.writelines(event for i, event in enumerate(events) if i not in answer["refused"])
            os.fsync(file.fileno())
    except OSError as error:
        answer = {"batch": header["batch"], "retry": str(error), "after_ms": 1000}
    stdout.write(json.dumps(answer).encode() + b"\n")
    stdout.flush()
