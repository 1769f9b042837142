-- Lists of what is open, for each team and organisation, in the order in which they are mostly read: what is more urgent
-- first, then what is due first. `changed_in` is the transaction that last wrote a row: a reader who goes through pages
-- is told of what was changed meanwhile, whatever page it has moved to.
alter table referral
    add column urgency smallint not null generated always as
        (case priority when 'stat' then 0 when 'asap' then 1 when 'urgent' then 2 else 3 end) stored,
    add column changed_in xid8 not null default pg_current_xact_id();

create function note_transaction() returns trigger language plpgsql as $$
begin
    new.changed_in := pg_current_xact_id();
    return new;
end
$$;
create trigger note_transaction before update on referral for each row execute function note_transaction();

create index referral_by_recipient on referral (recipient_team, urgency, due_at, referral_id)
    include (status, priority, kind, claimed_by) where is_open;
-- Of what a team holds that is not on its list as the recipient's: the few that it passed on, or that came back to it.
create index referral_by_holder on referral (holder_team, urgency, due_at, referral_id)
    where is_open and holder_team <> '' and not (
        holder_team = recipient_team and status in ('requested', 'received', 'accepted', 'in-progress', 'on-hold')
    );
create index referral_by_requester on referral (requester_organisation, urgency, due_at, referral_id)
    include (status, priority, kind, claimed_by) where is_open;
create index referral_by_claim on referral (claimed_by) where is_open and claimed_by <> '';
