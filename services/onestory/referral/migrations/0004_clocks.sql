-- What is overdue and nobody was told of: the clocks look for it all the time, and it is nearly always nothing.
create index referral_to_escalate on referral (due_at, referral_id) where is_open and escalated_at is null;
-- All that is overdue, as long as nobody acts.
create index referral_overdue on referral (due_at, referral_id) where is_open;
