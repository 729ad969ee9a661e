"""Who did what: an append-only, hash-chained audit log, the identities in it, and the roles they need.

A command asks :class:`Authority` for permission and has begin and end of what it does written down:
``with open_authority().action("releaser", "baseline.promote", run): ...``. Where no log is configured nothing is
written; where one is and can't be written, nothing is done.
"""

from qdhil.audit.actor import Actor, current_actor
from qdhil.audit.authority import Authority, Begun, Progress, open_authority
from qdhil.audit.entry import Detail, Entry
from qdhil.audit.log import NO_AUDIT, Audit, AuditLog, open_audit
from qdhil.audit.roles import EVERYBODY, ROLES, Role, Roles, load_roles
from qdhil.audit.verification import Examined, Head, verify_log

__all__ = [
    "EVERYBODY",
    "NO_AUDIT",
    "ROLES",
    "Actor",
    "Audit",
    "AuditLog",
    "Authority",
    "Begun",
    "Detail",
    "Entry",
    "Examined",
    "Head",
    "Progress",
    "Role",
    "Roles",
    "current_actor",
    "load_roles",
    "open_audit",
    "open_authority",
    "verify_log",
]
