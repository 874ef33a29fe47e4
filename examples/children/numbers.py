"""An input: counts from 1 to `config.to`, and goes on where it was told that it had got to."""
import json
import sys

hello = json.loads(sys.stdin.readline())
print('{"dpipe":1,"name":"numbers","version":"1.0"}', flush=True)
done, to = hello.get("position", 0), hello["config"]["to"]
batch = 0
while done < to:
    numbers = range(done + 1, min(done + 100, to) + 1)
    batch, done = batch + 1, numbers[-1]
    print(json.dumps({"batch": batch, "events": len(numbers), "position": done}))
    print("\n".join(json.dumps({"n": n}) for n in numbers), flush=True)
for line in sys.stdin:
    if json.loads(line)["settled"] == batch:
        break
