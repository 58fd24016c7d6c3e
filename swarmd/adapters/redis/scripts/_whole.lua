-- Before every script. While a slot moves to another node of a cluster, a key that is not (or no longer) here is an
-- error even to a script that has written already: it would break off in the middle, and what it wrote would stay. A
-- key that never exists asks first, so that such a script ends before it has written anything; it is sent again until
-- the slot has moved. Costs a comparison, and on a cluster one EXISTS.
if string.byte(KEYS[1]) == 123 then redis.call('EXISTS', string.match(KEYS[1], '^{[^}]*}') .. ':_never') end
