"""What Alembic runs: the migrations on the connection that `bots.database` hands over."""

from alembic import context
from sqlmodel import SQLModel

from bots import tables

assert tables.chats.name, "importing the tables fills the metadata"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
