"""The store as one object: what the rooms above are given instead of a path."""

from __future__ import annotations

from dwf.store import archive
from dwf.store.blobs import Blobs
from dwf.store.code import CodeStore
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout, adopt_home, open_home, refuse_network
from dwf.store.locks import RunLocks
from dwf.store.mailbox import Mailbox
from dwf.store.outputs import Outputs
from dwf.store.sharing import Sharing
from dwf.store.unseen import Unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dwf.store.held import Held
    from dwf.store.lines import Lines
    from dwf.store.routes import Route
    from dwf.store.shelf import Shelf
    from dwf.store.slots import Slots
    from dwf.store.tokens import Tokens


class Store:
    """One state directory, open.

    shared: operators and engine are different users. is_operator: the caller is not the engine; he posts and looks.
    """

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self.disk = disk
        self.layout = layout
        self.shared = layout.sharing is not None
        self.has_several_people = self.shared
        """Whether a question may need the yes of more than one."""
        self.is_operator = layout.sharing is not None and layout.sharing.is_operator
        self.mailbox = Mailbox(disk, layout)
        self.locks = RunLocks(disk, layout)
        self.index = Unseen(disk, layout) if self.is_operator else Index(disk, layout)
        self.code = CodeStore(disk, layout)
        self.blobs = Blobs(disk, layout)
        self.outputs = Outputs(disk, layout)
        self._named: set[str] = set()
        self._slots: Slots | None = None

    @classmethod
    def open(
        cls,
        home: str,
        *,
        create: bool = False,
        parents: bool = False,
        write: bool = True,
        post: bool = False,
        share: Sharing | None = None,
    ) -> Store:
        """The state directory at `home`, checked, and made if `create` is given. Raises what `open_home` raises.

        post: only to post to it, which in a shared one its members may do, too. share: what is made is shared so.
        """
        disk = Disk()
        layout = open_home(disk, home, create, parents=parents, write=write and not post, post=post, share=share)
        if write or post:
            # It may have been moved, or mounted over, since it was made.
            refuse_network(layout.home)
        return cls(disk, layout)

    @property
    def tokens(self) -> Tokens:
        """Makes the tokens of callbacks. Loaded when needed: an idle tick has no time for cryptography."""
        from dwf.store.tokens import Tokens

        return Tokens(self.disk, self.layout)

    @property
    def limits(self) -> Slots:
        """What is counted of steps that share a limit. One object, which knows what this process holds."""
        from dwf.store.slots import Slots

        self._slots = self._slots or Slots(self.disk, self.layout.limits)
        return self._slots

    @property
    def claims(self) -> Lines:
        """Who holds which lock between runs, and who waits for it."""
        from dwf.store.lines import Lines

        return Lines(self.disk, self.layout.claims, durable=True)

    @property
    def routes(self) -> Shelf[Route]:
        """Which stored code new starts of a script take, by its absolute path."""
        from dwf.store.routes import Route
        from dwf.store.shelf import Shelf

        return Shelf(self.disk, self.layout.routes, Route, lambda route: route.script)

    @property
    def held(self) -> Shelf[Held]:
        """Workflows whose runs do not begin, by name."""
        from dwf.store.held import Held
        from dwf.store.shelf import Shelf

        return Shelf(self.disk, self.layout.held, Held, lambda held: held.workflow)

    def adopt(self) -> None:
        """Bind the state directory to this machine. Right only if nothing uses it elsewhere. Raises NotPermitted."""
        adopt_home(self.disk, self.layout)

    def weight(self, run: str, link: int) -> Callable[[int], int]:
        """How large the first so many records of a history are, in bytes, for whoever asks."""
        from dwf.store.reading import bytes_until

        return lambda number: bytes_until(self.history(run, link), number)

    def note_named(self, *paths: str) -> None:
        """Histories that this process has just made, and whose names it has brought to disk."""
        self._named.update(paths)

    def was_named(self, path: str) -> bool:
        """Whether that is so of a history; asked once, when it is opened to go on."""
        known = path in self._named
        self._named.discard(path)
        return known

    def latest_link(self, run: str) -> int:
        """The number of the newest instance of a workflow id, 1 if there is none yet."""
        return archive.latest(self.layout, run)

    def history(self, run: str, link: int = 1) -> str:
        """The path of a history for a reader: where it lies, in runs/ or in the archive."""
        return archive.find(self.layout, run, link)
