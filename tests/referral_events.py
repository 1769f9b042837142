"""ReferralChanged events for tests, as the referral service sends them on `care.referral`."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tests.stack import Services

from onestory.local.state import secret
from onestory.shared.events import REFERRAL_SYSTEM, Actor, Entry, Operation, Party, ReferralChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, Producer
from onestory.shared.kafka.schemas import REFERRAL_TOPIC
from onestory.shared.visible_positions import position_token


def keys_of(services: Services) -> Keys:
    """The keys of the deployment of these services."""
    return Keys(secret(services.home, "key-secret").encode())


def tell(services: Services, *changes: ReferralChanged) -> str:
    """Send these events to Kafka, and return their position token once readers see them."""
    avro, keys = create_codec(), keys_of(services)
    messages = [
        KafkaMessage(REFERRAL_TOPIC, keys.person_key(each.person).encode(), avro.encode(each), []) for each in changes
    ]
    prefix = services.prefix
    with closing(Producer(services.kafka, timeout_s=30, client_id="test", prefix=prefix)) as producer:
        position = position_token(asyncio.run(producer.send(messages)))
    with services.client("A81001") as client:
        seen = client.get("/fhir/Task", params={"patient": "9990000018", "after": position})
        # The status may be 404: only the wait matters.
        assert seen.status_code in (200, 404), seen.text
    return position


_ENDED = {"completed", "cancelled", "entered-in-error"}
_INTENT = {"completed": "completed", "cancelled": "revoked", "entered-in-error": "entered-in-error", "draft": "draft"}
_WITH_SENDER = {"draft", "requested", "received", "rejected"}


@dataclass(frozen=True)
class Made:
    """A referral of a test: its person, requester and recipient. `change` makes its events."""

    keys: Keys
    person: PersonIdentifier
    requester: str = "A81001"
    recipient: str = "RZ1"
    name: str = "r1"
    task: str = "t1"

    def id_of(self, resource_type: str, local_id: str) -> str:
        """The shared id of one of the referral's resources."""
        key = self.keys.person_key(self.person)
        return self.keys.shared_id(key, self.requester, REFERRAL_SYSTEM, resource_type, local_id)

    @property
    def referral_id(self) -> str:
        return self.id_of("ServiceRequest", self.name)

    @property
    def task_id(self) -> str:
        return self.id_of("Task", self.task)

    @classmethod
    def of_number(cls, keys: Keys, number: str, **elements: str) -> Made:
        """A referral of the person with this NHS number. No other test has its ids."""
        person = PersonIdentifier(NHS_NUMBER_SYSTEM, number)
        return cls(keys, person, name=f"{number}-r", task=f"{number}-t", **elements)

    def change(self, event_id: UUID, version: int, status: str, at: datetime) -> ReferralChanged:
        """The event after which the Task has this status."""
        ended = status in _ENDED
        requester, recipient = Party(self.requester), Party(self.recipient, "team")
        holder = None if ended else requester if status in _WITH_SENDER else recipient
        return ReferralChanged(
            event_id=event_id,
            person=self.person,
            referral_id=self.referral_id,
            task_id=self.task_id,
            version=version,
            kind="referral",
            priority="routine",
            action="request" if status == "requested" else status,
            reason="",
            actor=Actor(requester, "user-1", "R8000"),
            status=status,
            business_status="",
            is_open=not ended,
            requester=requester,
            recipient=recipient,
            holder=holder,
            next_actor=holder,
            due_at=None,
            occurred_at=at,
            correlation_id="test",
            notices=(),
            entries=(self._request(status, at), self._task(status, at)),
        )

    def _request(self, status: str, at: datetime) -> Entry:
        return self._entry(
            "ServiceRequest",
            self.name,
            at,
            {
                "status": _INTENT.get(status, "active"),
                "intent": "order",
                "code": {"text": "Community nursing"},
                "subject": self._subject(),
                "authoredOn": format_instant(at),
            },
        )

    def _task(self, status: str, at: datetime) -> Entry:
        return self._entry(
            "Task",
            self.task,
            at,
            {
                "status": status,
                "intent": "order",
                "focus": {"reference": f"ServiceRequest/{self.referral_id}"},
                "for": self._subject(),
            },
        )

    def _subject(self) -> dict[str, str]:
        if self.person.is_nhs_number:
            return {"reference": f"Patient/{self.person.value}"}
        return {"display": "Somebody without a number"}

    def _entry(self, resource_type: str, local_id: str, at: datetime, elements: dict[str, object]) -> Entry:
        shared_id = self.id_of(resource_type, local_id)
        tag = {"tag": [{"system": ODS_CODE_SYSTEM, "code": self.requester}]}
        content = {"resourceType": resource_type, "id": shared_id, "meta": tag, **elements}
        written = json.dumps(content, separators=(",", ":")).encode()
        return Entry(resource_type, local_id, shared_id, at, Operation.ASSERT, written)
