WITH added AS (
    INSERT INTO audit_log (seq, event_id, timestamp, action, user_id, role, target, details, details_text,
                           ip_address, key_id, payload, payload_hash, signed_hash, prev_hash, chain_hash,
                           evidence_link, evidence_sha256)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $8::text, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    RETURNING seq, chain_hash
)
UPDATE audit_head SET seq = added.seq, chain_hash = added.chain_hash FROM added
