"""A step: masks e-mail addresses in the field `config.field`, and drops events without it."""
import json
import re
import sys

stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
field = json.loads(stdin.readline())["config"]["field"]
stdout.write(b'{"dpipe":1,"name":"mask","version":"1.0","reasons":["no_field"]}\n')
stdout.flush()
address = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
for header in stdin:
    answers = [header]
    for _ in range(json.loads(header)["events"]):
        event = json.loads(stdin.readline())
        if field not in event:
            answers.append(b'["drop","no_field"]\n')
            continue
        masked, count = address.subn("<mail>", str(event[field]))
        if count == 0:
            answers.append(b"true\n")
            continue
        event[field] = masked
        answers.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    stdout.write(b"".join(answers))
    stdout.flush()
