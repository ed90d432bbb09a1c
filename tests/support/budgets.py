"""A Budget of actions.erasure that counts statements: where work is interrupted never depends on time."""


class Statements:
    """A budget of so many statements that delete or find something; keeps their rows."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.rows: list[int] = []

    def is_spent(self) -> bool:
        return self.most is not None and len(self.rows) >= self.most

    def note(self, rows: int) -> None:
        self.rows.append(rows)
