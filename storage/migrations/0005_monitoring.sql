CREATE TABLE bot_actions (
    bot     text NOT NULL,
    seq     bigint NOT NULL,
    ordinal integer NOT NULL,
    at_ms   bigint NOT NULL,
    kind    text NOT NULL,
    level   integer,
    text    text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (bot, seq, ordinal)
);
CREATE INDEX bot_actions_level ON bot_actions (bot, level, seq DESC, ordinal DESC);

CREATE TABLE bot_metrics (
    bot             text NOT NULL,
    at_ms           bigint NOT NULL,
    price           numeric NOT NULL,
    position        numeric NOT NULL,
    grid_profit     numeric NOT NULL,
    floating_profit numeric NOT NULL,
    fees            numeric NOT NULL,
    funding         numeric NOT NULL,
    total_profit    numeric NOT NULL,
    drawdown        numeric NOT NULL,
    round_trips     bigint NOT NULL,
    trades          bigint NOT NULL,
    PRIMARY KEY (bot, at_ms)
);
