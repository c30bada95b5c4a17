#include "config/nearest.h"

#include <stdbool.h>
#include <string.h>

#include "base/util.h"

enum { WORD_MAX = 64, PART_MIN = 3 };

unsigned nearest_distance(const char *a, const char *b)
{
    size_t na = strnlen(a, WORD_MAX + 1), nb = strnlen(b, WORD_MAX + 1);
    unsigned row[3][WORD_MAX + 1]; /* rows i-2, i-1 and i of the table, by i % 3 */

    if (na > WORD_MAX || nb > WORD_MAX)
        return UINT_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = prev[j - 1] + (a[i - 1] != b[j - 1]);

            best = MIN(best, MIN(prev[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, prev2[j - 2] + 1);
            now[j] = best;
        }
    }
    return row[na % 3][nb];
}

static bool is_break(char c)
{
    return c == '_' || c == '-';
}

static bool is_part(const char *word, size_t len, const char *of, size_t of_len)
{
    if (len < PART_MIN || len >= of_len)
        return false;
    return (!strncmp(of, word, len) && is_break(of[len])) ||
           (!strcmp(of + of_len - len, word) && is_break(of[of_len - len - 1]));
}

void nearest_offer(struct nearest *n, const char *candidate)
{
    size_t len = strnlen(n->word, WORD_MAX + 1);
    size_t other = strnlen(candidate, WORD_MAX + 1);
    unsigned limit = len <= 3 ? 1 : (unsigned)MAX(len / 3, 2);
    unsigned d;

    if (!n->best && is_part(n->word, len, candidate, other)) {
        n->best = candidate;
        n->distance = NEAREST_PART;
    }
    /* the lengths alone make most words too different */
    if (MAX(len, other) - MIN(len, other) > limit)
        return;
    d = nearest_distance(n->word, candidate);
    if (d <= limit && (!n->best || d < n->distance)) {
        n->best = candidate;
        n->distance = d;
    }
}
