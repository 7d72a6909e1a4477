"""Feature rows, compiled: one pass over the candidates instead of a hundred NumPy calls. See mmrec.features.assemble.

The equations are those of row_formulas, scoring.decay and scoring.rates; what stands here is which column they fill, in
the order of feature_names(). mmrec.features.assemble_reference is the same in plain NumPy.

Axes: I items of the profile, N candidates, H half-lives, B behaviors, T tokens, C cancellations, F features, S slots of
a table of tokens.
"""

# Compiled code takes its arguments by position.
# ruff: noqa: PLR0917

from typing import Any

import numpy as np

from mmrec.compiled import FLOAT, INT, SINGLE, compiled, formula, reads, reads_stored, writes
from mmrec.features.item_columns import NO_TOKEN
from mmrec.features.row_formulas import HOUR_S, WEEK_S, freshness, order_share, rates_half_life
from mmrec.index.row_tables import NO_PLACE, empty_table, slot_of
from mmrec.scoring.decay import SECONDS_PER_DAY, share_left
from mmrec.scoring.rates import PSEUDO_EVENTS, smoothed_rate

for _equation in (freshness, order_share, rates_half_life, share_left, smoothed_rate):
    formula(_equation)
OWN_COLUMNS = 7
"""Columns about the user's own items beside their counts."""


@formula
def _log_positive(value: Any) -> Any:
    return np.log1p(max(value, 0.0))


@formula
def _own(
    references_I: Any, counts_IB: Any, recent_I: Any, newest_first_I: Any, weights_B: Any, rate: Any, read_s: Any
) -> Any:
    """(affinity_I, order_I, columns_IX): how the user treated each own item."""
    num_items, num_behaviors = counts_IB.shape
    affinity_I, order_I = np.empty(num_items), np.empty(num_items)
    columns_IX = np.empty((num_items, num_behaviors + OWN_COLUMNS))
    for place in range(num_items):
        order_I[newest_first_I[place]] = order_share(place)
    total = 0.0
    for i in range(num_items):
        age_s = read_s - references_I[i]
        left, weighted = share_left(age_s, rate), 0.0
        for b in range(num_behaviors):
            weighted += counts_IB[i, b] * weights_B[b]
            columns_IX[i, b] = _log_positive(counts_IB[i, b] * left)
        affinity_I[i] = max(weighted * left, 0.0)
        total += affinity_I[i]
        columns_IX[i, num_behaviors] = np.log1p(affinity_I[i])
        columns_IX[i, num_behaviors + 2] = 1.0
        columns_IX[i, num_behaviors + 3] = freshness(age_s, HOUR_S)
        columns_IX[i, num_behaviors + 4] = freshness(age_s, SECONDS_PER_DAY)
        columns_IX[i, num_behaviors + 5] = order_I[i]
        columns_IX[i, num_behaviors + 6] = np.log1p(recent_I[i])
    for i in range(num_items):
        columns_IX[i, num_behaviors + 1] = affinity_I[i] / total if total > 0.0 else affinity_I[i]
    return affinity_I, order_I, columns_IX


@formula
def _net(counts_B: Any, cancels_C2: Any) -> None:
    """scoring.affinity.net_counts() of one item, in place."""
    for c in range(len(cancels_C2)):
        counts_B[cancels_C2[c, 0]] -= counts_B[cancels_C2[c, 1]]
    for c in range(len(cancels_C2)):
        counts_B[cancels_C2[c, 1]] = 0.0
        counts_B[cancels_C2[c, 0]] = max(counts_B[cancels_C2[c, 0]], 0.0)


@formula
def _fill_item(
    out_FN: Any,
    n: Any,
    f: Any,
    counts_XHB: Any,
    row: Any,
    reference_s: Any,
    rates_H: Any,
    weights_B: Any,
    cancels_C2: Any,
    read_s: Any,
    published_s: Any,
    counts_B: Any,
) -> Any:
    """How all users treat one candidate, and how new it is; the next free column. `counts_B` is room to count in."""
    num_half_lives, num_behaviors = counts_XHB.shape[1:]
    is_counted = np.isfinite(reference_s)
    age_s = read_s - reference_s if is_counted else 0.0
    rates_f = f + num_half_lives
    first_log, last_log = 0.0, 0.0
    for h in range(num_half_lives):
        left, affinity, total = share_left(age_s, rates_H[h]) if is_counted else 0.0, 0.0, 0.0
        for b in range(num_behaviors):
            counts_B[b] = counts_XHB[row, h, b]
        _net(counts_B, cancels_C2)
        for b in range(num_behaviors):
            count = counts_B[b] * left
            affinity += count * weights_B[b]
            counts_B[b] = max(count, 0.0)
            total += counts_B[b]
        last_log = _log_positive(affinity)
        if h == 0:
            first_log = last_log
        out_FN[f + h, n] = last_log
        if h == rates_half_life(num_half_lives):
            for b in range(num_behaviors):
                out_FN[rates_f + b, n] = np.log1p(counts_B[b])
                rate = smoothed_rate(counts_B[b], total, num_behaviors, PSEUDO_EVENTS)
                out_FN[rates_f + num_behaviors + b, n] = rate
    f = rates_f + 2 * num_behaviors
    is_age_known = np.isfinite(published_s)
    out_FN[f, n] = first_log - last_log
    out_FN[f + 1, n] = freshness(age_s, SECONDS_PER_DAY) if is_counted else 0.0
    out_FN[f + 2, n] = 1.0 if is_counted else 0.0
    out_FN[f + 3, n] = freshness(max(read_s - published_s, 0.0), WEEK_S) if is_age_known else 0.0
    out_FN[f + 4, n] = 1.0 if is_age_known else 0.0
    return f + 5


@formula
def _usual_price(prices_X: Any, own_rows_I: Any, affinity_I: Any) -> Any:
    """Mean logarithm of the prices of own items, weighted by affinity; NaN where none is known."""
    total, summed = 0.0, 0.0
    for i in range(len(own_rows_I)):
        if own_rows_I[i] >= 0 and affinity_I[i] > 0.0:
            price_log = np.log(prices_X[own_rows_I[i]])
            if np.isfinite(price_log):
                total += affinity_I[i]
                summed += affinity_I[i] * price_log
    return summed / total if total > 0.0 else np.nan


@formula
def _fill_known(out_FN: Any, n: Any, f: Any, value: Any) -> None:
    """A value and whether it is known and not 0: unknown and 0 give the same row."""
    is_known = np.isfinite(value) and value != 0.0
    out_FN[f, n] = value if is_known else 0.0
    out_FN[f + 1, n] = 1.0 if is_known else 0.0


@formula
def _token_shares(tokens_TX: Any, own_rows_I: Any, affinity_I: Any, order_I: Any) -> Any:
    """(table_S, tokens_U, shares_U2): share of the user's affinity, and of the newest items, with each token."""
    num_tokens, num_items = len(tokens_TX), len(own_rows_I)
    table_S = empty_table(num_tokens * num_items)
    tokens_U, shares_U2 = np.empty(num_tokens * num_items, dtype=np.int64), np.zeros((num_tokens * num_items, 2))
    num_found, totals = 0, np.zeros(2)
    for t in range(num_tokens):
        for i in range(num_items):
            token = tokens_TX[t, own_rows_I[i]] if own_rows_I[i] >= 0 else NO_TOKEN
            if token != NO_TOKEN:
                slot = slot_of(table_S, tokens_U, token)
                if table_S[slot] == NO_PLACE:
                    table_S[slot], tokens_U[num_found] = num_found, token
                    num_found += 1
                shares_U2[table_S[slot], 0] += affinity_I[i]
                shares_U2[table_S[slot], 1] += order_I[i]
    for i in range(num_items):
        totals[0] += affinity_I[i]
        totals[1] += order_I[i]
    for side in range(2):
        if totals[side] > 0.0:
            shares_U2[:num_found, side] /= totals[side]
    return table_S, tokens_U, shares_U2


@formula
def _fill_taste(
    out_FN: Any,
    n: Any,
    f: Any,
    tokens_TX: Any,
    row: Any,
    newest_domain: Any,
    table_S: Any,
    tokens_U: Any,
    shares_U2: Any,
) -> None:
    """Shares of the user's affinity, and of the newest items, with one candidate's domain and values."""
    best_liked, best_new, sum_liked, sum_new, num_values = 0.0, 0.0, 0.0, 0.0, 0
    for t in range(len(tokens_TX) - 1):
        token = tokens_TX[t, row]
        if token != NO_TOKEN:
            num_values += 1
            place = table_S[slot_of(table_S, tokens_U, token)]
            if place != NO_PLACE:
                liked, new = shares_U2[place, 0], shares_U2[place, 1]
                best_liked, best_new = max(best_liked, liked), max(best_new, new)
                sum_liked, sum_new = sum_liked + liked, sum_new + new
    domain = tokens_TX[-1, row]
    place = table_S[slot_of(table_S, tokens_U, domain)] if domain != NO_TOKEN else NO_PLACE
    out_FN[f, n] = shares_U2[place, 0] if place != NO_PLACE else 0.0
    out_FN[f + 1, n] = 1.0 if domain == newest_domain and domain != NO_TOKEN else 0.0
    out_FN[f + 2, n] = best_liked
    out_FN[f + 3, n] = sum_liked / max(num_values, 1)
    out_FN[f + 4, n] = best_new
    out_FN[f + 5, n] = sum_new / max(num_values, 1)


@formula
def _fill_user(out_FN: Any, f: Any, counts_IB: Any, affinity_I: Any, num_events: Any, age_s: Any) -> None:
    """How much is known of the user; the same in every row."""
    num_items, num_behaviors = counts_IB.shape
    totals_B, affinity = np.zeros(num_behaviors), 0.0
    for i in range(num_items):
        affinity += affinity_I[i]
        for b in range(num_behaviors):
            totals_B[b] += counts_IB[i, b]
    total = 0.0
    for b in range(num_behaviors):
        totals_B[b] = max(totals_B[b], 0.0)
        total += totals_B[b]
    out_FN[f, :] = np.log1p(num_events)
    out_FN[f + 1, :] = np.log1p(float(num_items))
    out_FN[f + 2, :] = np.log1p(affinity)
    out_FN[f + 3, :] = freshness(age_s, HOUR_S)
    for b in range(num_behaviors):
        out_FN[f + 4 + b, :] = totals_B[b] / max(total, 1e-12)


@compiled(
    writes(SINGLE, 2),
    reads_stored(FLOAT, 1),
    reads_stored(FLOAT, 2),
    reads(FLOAT, 1),
    reads(INT, 1),
    FLOAT,
    FLOAT,
    FLOAT,
    FLOAT,
    reads(INT, 1),
    reads(INT, 1),
    reads(INT, 1),
    reads(FLOAT, 1),
    reads(INT, 2),
    reads(FLOAT, 1),
    reads(FLOAT, 1),
    reads(INT, 2),
    reads(FLOAT, 3),
    reads(FLOAT, 1),
    reads(FLOAT, 1),
    reads(FLOAT, 1),
    reads(INT, 2),
    reads(FLOAT, 1),
    reads(FLOAT, 1),
)
def fill_rows(
    out_FN: Any, references_I: Any, counts_IB: Any, recent_I: Any, newest_first_I: Any, num_events: Any,
    newest_event_time_s: Any, as_of_s: Any, rate: Any, own_positions_N: Any, own_rows_I: Any, rows_N: Any,
    own_prices_X: Any, own_tokens_TX: Any, prices_X: Any, publish_times_X: Any, tokens_TX: Any, counts_XHB: Any,
    reference_times_X: Any, rates_H: Any, weights_B: Any, cancels_C2: Any, similarities_N: Any, neighbor_scores_N:
    Any
) -> None:  # fmt: skip
    """Fill feature rows, one candidate a column of `out_FN`; arguments as assemble() takes them apart.

    Args:
        counts_IB: Net counts of own items at the first half-life.
        recent_I: How often each own item occurs among the newest events.
        newest_first_I: Positions of own items, the newest first.
        rate: Decay per day of the profile's first half-life.
    """
    num_own, num_behaviors = counts_IB.shape
    for n in range(len(rows_N)):
        if np.isfinite(reference_times_X[rows_N[n]]):
            as_of_s = max(as_of_s, reference_times_X[rows_N[n]])
    read_s = max(as_of_s, newest_event_time_s)
    for i in range(num_own):
        read_s = max(read_s, references_I[i])
    affinity_I, order_I, columns_IX = _own(references_I, counts_IB, recent_I, newest_first_I, weights_B, rate, read_s)
    usual = _usual_price(own_prices_X, own_rows_I, affinity_I)
    table_S, tokens_U, shares_U2 = _token_shares(own_tokens_TX, own_rows_I, affinity_I, order_I)
    newest_row = own_rows_I[newest_first_I[0]] if num_own else -1
    newest_domain = own_tokens_TX[-1, newest_row] if newest_row >= 0 else NO_TOKEN
    num_user, counts_B = 4 + num_behaviors, np.empty(num_behaviors)
    for n in range(len(rows_N)):
        row, own = rows_N[n], own_positions_N[n]
        for x in range(num_behaviors + OWN_COLUMNS):
            out_FN[x, n] = columns_IX[own, x] if own >= 0 else 0.0
        f = _fill_item(
            out_FN,
            n,
            num_behaviors + OWN_COLUMNS,
            counts_XHB,
            row,
            reference_times_X[row],
            rates_H,
            weights_B,
            cancels_C2,
            read_s,
            publish_times_X[row],
            counts_B,
        )
        ratio = np.log(prices_X[row]) - usual
        out_FN[f, n] = ratio if np.isfinite(ratio) else 0.0
        out_FN[f + 1, n] = abs(ratio) if np.isfinite(ratio) else 0.0
        out_FN[f + 2, n] = 1.0 if np.isfinite(ratio) else 0.0
        neighbor_score = neighbor_scores_N[n]
        _fill_known(out_FN, n, f + 3, np.log1p(max(neighbor_score, 0.0)) if neighbor_score > 0.0 else 0.0)
        _fill_known(out_FN, n, f + 5, similarities_N[n])
        _fill_taste(out_FN, n, f + 7, tokens_TX, row, newest_domain, table_S, tokens_U, shares_U2)
    _fill_user(out_FN, len(out_FN) - num_user, counts_IB, affinity_I, num_events, read_s - newest_event_time_s)
