"""The test application: a TCP server and a client that count their messages and push the counts as OTLP metrics.

It stands for a user's program, so it imports nothing else of this project. It takes the place of the image
``harbor.nbfc.io/mlsysops/test-app`` where containers are local processes.

What the metrics mean, with the defaults (a message six times a second):

- ``test_sent_success_counter`` (client, gauge): how many of the 30 messages that were due in the last window of 5 s
  the server has acknowledged. 30 means that all went well; it is never more.
- ``test_received_success_counter`` (server, gauge): how many new messages arrived whole in the last 3 s; 18, give or
  take one, means that all is well.
- ``test_sent_counter``, ``test_received_counter``: acknowledged or received since the process began (counters).
- ``test_received_lost_counter``, ``test_received_duplicate_counter``, ``test_received_corrupt_counter`` (server,
  counters): gaps and repetitions in the clients' sequence numbers, and lines whose checksum is wrong. Repetitions are
  how a client makes sure of a message whose acknowledgement got lost; the other two should stay 0.
"""

from __future__ import annotations

__all__: list[str] = []
