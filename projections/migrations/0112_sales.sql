-- Sales: every line that was sold and every one that came back, for figures about members and goods.
CREATE PROCEDURE projection.create_sales() LANGUAGE plpgsql AS $$
BEGIN
    -- A member and what they have bought so far. Voided sales do not count. Sums are numeric: no sale can overflow them.
    CREATE TABLE sales_members (
        member_id       uuid    NOT NULL PRIMARY KEY,
        program         text    NOT NULL,
        time_zone       text    NOT NULL,  -- of the days
        enrolled_at     bigint  NOT NULL,
        store           text    NOT NULL,  -- where they enrolled
        channel         smallint NOT NULL, -- loyalty.v1.Channel
        sales           bigint  NOT NULL,
        returns         bigint  NOT NULL,
        units           numeric NOT NULL,  -- less what came back
        net_minor       numeric NOT NULL,  -- less what came back
        first_sold_at   bigint,
        last_sold_at    bigint
    ) WITH (fillfactor = 80);
    CREATE INDEX sales_members_program_idx ON sales_members (program, member_id);

    -- A receipt: of a sale, or of what came back of one, by return or reversal.
    CREATE TABLE sales (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        of_position     bigint  NOT NULL,  -- the sale's position; of a sale its own
        transaction_id  uuid    NOT NULL,  -- of the command; of a return that had waited for its sale, the sale
        program         text    NOT NULL,
        kind            text    NOT NULL,  -- 'sale', 'return' or 'reversal'
        is_voided       boolean NOT NULL,  -- of a sale that was reversed
        occurred_at     bigint  NOT NULL,
        day             date    NOT NULL,  -- in the program's time zone
        store           text    NOT NULL,
        channel         smallint NOT NULL,
        tier            text    NOT NULL,  -- as the receipt states it; empty without tiers
        units           numeric NOT NULL,  -- negative for what came back
        net_minor       numeric NOT NULL,  -- after discounts and rewards; negative for what came back
        PRIMARY KEY (member_id, position)
    ) WITH (fillfactor = 90);
    CREATE INDEX sales_day_idx ON sales (program, day);

    -- A line of a receipt. The points of a receipt are shared over its lines, so that they add up to the receipt's.
    CREATE TABLE sale_lines (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        number          bigint  NOT NULL,  -- of the line in its sale, from 1
        line_id         text    NOT NULL,
        sku             text    NOT NULL,
        category        text    NOT NULL,
        brand           text    NOT NULL,
        labels          text[]  NOT NULL,
        kind            smallint NOT NULL, -- loyalty.v1.LineKind
        units           bigint  NOT NULL,  -- negative for what came back
        price_minor     bigint  NOT NULL,  -- before discounts; 0 for what came back, as are both discounts
        till_discount_minor bigint NOT NULL,   -- on the line, and its share of those on the order
        reward_discount_minor bigint NOT NULL, -- what rewards took off
        net_minor       bigint  NOT NULL,  -- price less both discounts; negative for what came back
        unit_cost_minor bigint,            -- NULL where the till did not say
        awarded_points  bigint  NOT NULL,  -- what came back: less what was taken back
        redeemed_points bigint  NOT NULL,  -- spent with the sale; what came back: less what was given back
        PRIMARY KEY (position, number)     -- a position is one member's, and grows: the index is only added to at its end
    );

    -- What a member bought where and of what; what came back is spent less in the place of its sale.
    CREATE TABLE sale_places (
        member_id       uuid    NOT NULL,
        store           text    NOT NULL,
        channel         smallint NOT NULL,
        sales           bigint  NOT NULL,
        net_minor       numeric NOT NULL,
        PRIMARY KEY (member_id, store, channel)
    ) WITH (fillfactor = 80);

    CREATE TABLE sale_categories (
        member_id       uuid    NOT NULL,
        category        text    NOT NULL,
        sales           bigint  NOT NULL,  -- with something of the category in them
        net_minor       numeric NOT NULL,
        PRIMARY KEY (member_id, category)
    ) WITH (fillfactor = 80);

    -- What a rule, promotion or voucher gave for a sale.
    CREATE TABLE sale_awards (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        number          bigint  NOT NULL,
        offer           text    NOT NULL,  -- the rule's or promotion's id; reward/{reward_id} for the points of a voucher
        points          bigint  NOT NULL,
        line_points     bigint[] NOT NULL, -- of each line of the sale, by its number; NULL where it did not count
        PRIMARY KEY (position, number)
    );

    -- A reward or voucher that was redeemed, with a sale or alone, or given by hand.
    CREATE TABLE redemptions (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        number          bigint  NOT NULL,
        transaction_id  uuid    NOT NULL,
        program         text    NOT NULL,
        kind            text    NOT NULL,  -- 'in_sale', 'alone' or 'granted'
        is_voided       boolean NOT NULL,  -- it was reversed, or the sale was
        occurred_at     bigint  NOT NULL,
        day             date    NOT NULL,
        store           text    NOT NULL,
        channel         smallint NOT NULL,
        reward_id       text    NOT NULL,
        quantity        bigint  NOT NULL,
        points          bigint  NOT NULL,
        value_minor     bigint  NOT NULL,  -- what it took off or paid
        is_issue        boolean NOT NULL,  -- it bought or gave vouchers, which are redeemed when they are used
        PRIMARY KEY (member_id, position, number)
    );
    CREATE INDEX redemptions_day_idx ON redemptions (program, day);
END $$;

CREATE PROCEDURE projection.show_sales(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.sales_members AS
            SELECT member_id, program, time_zone, enrolled_at, store, channel, sales, returns, units, net_minor,
                   first_sold_at, last_sold_at
            FROM sales_members;
        CREATE OR REPLACE VIEW %1$I.sales AS
            SELECT member_id, position, of_position, transaction_id, program, kind, is_voided, occurred_at, day, store,
                   channel, units, net_minor, tier
            FROM sales;
        CREATE OR REPLACE VIEW %1$I.sale_lines AS
            SELECT member_id, position, line_id, sku, category, brand, labels, kind, units, price_minor, net_minor,
                   unit_cost_minor, number, till_discount_minor, reward_discount_minor, awarded_points, redeemed_points
            FROM sale_lines;
        CREATE OR REPLACE VIEW %1$I.sale_places AS
            SELECT member_id, store, channel, sales, net_minor FROM sale_places;
        CREATE OR REPLACE VIEW %1$I.sale_categories AS
            SELECT member_id, category, sales, net_minor FROM sale_categories;
        CREATE OR REPLACE VIEW %1$I.sale_awards AS
            SELECT member_id, position, number, offer, points, line_points FROM sale_awards;
        CREATE OR REPLACE VIEW %1$I.redemptions AS
            SELECT member_id, position, number, transaction_id, program, kind, is_voided, occurred_at, day, store, channel,
                   reward_id, quantity, points, value_minor, is_issue
            FROM redemptions;
    $names$, names);
END $$;

CALL projection.begin_generation('sales', 1);
CALL projection.show_generation('sales', 1);
