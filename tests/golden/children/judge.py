import json
import os
import sys

sys.stdin.readline()
print('{"dpipe":1,"name":"judge"}', flush=True)
for header in sys.stdin:
    answers = [header.strip()]
    for offset in json.loads(header)["metadata"]["_offset"]:
        event = json.loads(sys.stdin.readline())
        if event.get("die"):
            os._exit(3)
        elif "refuse" in event:
            answers.append(json.dumps(["dead", event["refuse"]]))
        elif event.get("twice"):
            answers.append(json.dumps([{"n": event["n"], "offset": offset}] * 2))
        else:
            answers.append("true")
    print("\n".join(answers), flush=True)
