"""What a process has made once it is ready → left alone by the garbage collector. Called by the command line and by
services that make a new schema.

Schemas and modules are a million objects. The collector looks at all of them whenever their number has grown by a
quarter, which stops every request for up to half a second, and never finds anything.
"""

import gc
from typing import Final

YOUNG: Final = 10_000
"""So many objects more than at the last look are looked at; what sixteen requests under way hold is a thousand."""


def settle() -> None:
    """Collect what is garbage now, and let later collections pass over all that stays.

    Requests leave no circles behind, so collections find next to nothing: they need not come with every tenth request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


def resettle() -> None:
    """Do so again, in a process that did: what was replaced since can be freed."""
    if gc.get_freeze_count():
        gc.unfreeze()
        settle()
