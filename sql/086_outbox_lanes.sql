-- Mails wait for servers that may be slow or away for hours; copies wait for nothing. Each lane has relays and an index of its own, so
-- that a backlog of mails is never in the way of a beat. The conditions stand in the relays' claims word for word.

DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (next_at, id) WHERE state = 'pending' AND aggregate_type <> 'mail';
CREATE INDEX outbox_mails_due ON outbox (next_at, id) WHERE state = 'pending' AND aggregate_type = 'mail';
