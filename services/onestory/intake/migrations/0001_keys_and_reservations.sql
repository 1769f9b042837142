-- The Idempotency-Keys of publishes, each with a digest of its content. Written before the send, so that a key with other
-- content is refused before the answer, whichever process takes it.
create table idempotency_key (
    organisation text not null,
    system text not null,
    key text not null,
    digest bytea not null,
    first_used_at timestamptz not null default now(),
    primary key (organisation, system, key)
);
create index on idempotency_key (first_used_at);

-- Creates with a condition that are under way, so that of several at the same time one publishes. `name` is a hash of
-- source, type and identifier. `position` is the position token of the publish, once Kafka has it: the reservation ends when
-- readers see that position. A reservation without a position ends at `expires_at`: its process was stopped, or Kafka did not
-- answer.
create table create_reservation (
    name bytea primary key,
    holder uuid not null,
    expires_at timestamptz not null,
    position text
);
create index on create_reservation (expires_at);
