-- Writing beats: what was changed rides along with the content that is staged, and shares of the money are offered and accepted.

ALTER TABLE beat_content_staged
    ADD COLUMN changes jsonb NOT NULL DEFAULT '[]',
    ADD CONSTRAINT beat_content_staged_changes_array CHECK (jsonb_typeof(changes) = 'array');

COMMENT ON COLUMN beat_content_staged.changes IS 'Who changed what in which version, for each version that MongoDB has not acknowledged yet.';

-- A collaborator edits a beat. When it goes public, and when it goes, its creator decides.
CREATE TRIGGER beats_status_is_the_creators BEFORE UPDATE ON beats FOR EACH ROW
WHEN (
    (OLD.status, OLD.deleted_at) IS DISTINCT FROM (NEW.status, NEW.deleted_at)
    AND kababeat_user() IS NOT NULL AND kababeat_user() <> OLD.creator_id AND kababeat_role() <> 'admin'
) EXECUTE FUNCTION kababeat_refuse();

-- What a beat costs is its creator's to say as well: it is money.
CREATE TRIGGER beats_prices_are_the_creators BEFORE UPDATE ON beats FOR EACH ROW
WHEN (
    (OLD.currency, OLD.price_basic, OLD.price_premium, OLD.price_exclusive)
        IS DISTINCT FROM (NEW.currency, NEW.price_basic, NEW.price_premium, NEW.price_exclusive)
    AND kababeat_user() IS NOT NULL AND kababeat_user() <> OLD.creator_id
) EXECUTE FUNCTION kababeat_refuse();

-- The creator offers shares, and takes offers back; whoever is offered one accepts it or declines.
CREATE POLICY creator_offers ON beat_splits FOR INSERT
    WITH CHECK (offered_by = (SELECT kababeat_user()) AND (accepted_at IS NULL OR user_id = offered_by));
CREATE POLICY offered_accepts ON beat_splits FOR UPDATE
    USING (user_id = (SELECT kababeat_user()) AND accepted_at IS NULL)
    WITH CHECK (user_id = (SELECT kababeat_user()) AND accepted_at IS NOT NULL);
CREATE POLICY concerned_may_remove ON beat_splits FOR DELETE
    USING ((SELECT kababeat_user()) IN (user_id, offered_by));
-- Accepting changes nothing else of an offer.
REVOKE UPDATE ON beat_splits FROM kababeat_gateway;
GRANT UPDATE (accepted_at) ON beat_splits TO kababeat_gateway;

-- Own beats of one standing, the newest first.
CREATE INDEX beats_of_creator_by_status ON beats (creator_id, status, created_at DESC, id DESC) WHERE deleted_at IS NULL;
