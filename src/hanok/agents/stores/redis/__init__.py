"""What agents keep on a Redis or Valkey server (`runs.database: redis://…`), with plain commands and Lua scripts alone.

Each script is one step that nobody sees half of, and says in `KEYS[1]` what all its keys begin with. So a cluster may
keep them, too: keys that begin alike are on one of its nodes. They are, `P` being `hanok:{PLATFORM}:agents:`, for runs:

| key | kind | what |
|---|---|---|
| `P number` | text | the number of the latest run |
| `P run:ID` | hash | a run: its number, state, wish, lease, `form` and `standing` |
| `P events:ID` | sorted set | by their numbers: `NUMBER`, type, time and data, a line each |
| `P receipts:ID` | hash | by their keys: kind, state, result and time, as JSON |
| `P runs`, `P runs-of:TENANT`, `P on:THREAD`, `P below:ID` | sorted sets | ids of runs by their numbers |
| `P queued`, `P queued-on:THREAD`, `P running-on:THREAD` | sorted sets | those of a state; `queued` but sub-agents' |
| `P queued-for:AGENT` | sorted set | those of `queued`, of one agent |
| `P waited-for` | set | agents of which there are such |
| `P leases` | sorted set | those that are running, by the end of their lease |
| `P ended` | sorted set | those that have ended, by when |
| `P thread:ID` | hash | a thread |
| `P threads`, `P threads-of:TENANT` | sorted sets | ids of threads, by minus their last use: the latest first |
| `P belows` | hash | how many runs of sub-agents a thread has |

Runs are on one node because a claim looks at all that wait. What is bigger is spread: checkpoints by thread
(`checkpoints.py`), memories by owner (`memories.py`). Ids stand at the end of a key, so that none is another's.
"""
