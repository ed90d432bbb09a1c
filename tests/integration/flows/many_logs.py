"""Log many long lines in a flow run as a run does, with the client's own handler: RUN_ID LINES LENGTH."""

import logging
import sys

import prefect
from prefect.utilities.logging import LOG_MANAGER, CloudHandler, get_logger

run_id, lines, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
everywhere = logging.getLogger("prefect")
everywhere.handlers = [handler for handler in everywhere.handlers if isinstance(handler, CloudHandler)]
with prefect.context(flow_run_id=run_id, running_with_backend=True):
    logger = get_logger("many")
    for number in range(lines):
        # Quotation marks: each is four bytes of the request, escaped for one JSON and then for the other.
        logger.info("%06d %s", number, '"' * (length - 7))
    LOG_MANAGER.stop()
print("left", len(LOG_MANAGER.pending_logs) + LOG_MANAGER.queue.qsize())
