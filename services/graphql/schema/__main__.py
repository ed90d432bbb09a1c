"""Prints the schema: `python -m services.graphql.schema > services/graphql/schema.graphql`."""

import sys

from services.graphql.schema import sdl

if __name__ == "__main__":
    sys.stdout.write(sdl())
