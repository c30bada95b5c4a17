/* "Did you mean": the nearest of a set of words. */
#ifndef CONFIG_NEAREST_H
#define CONFIG_NEAREST_H

#include <limits.h>
#include <stddef.h>

/* Changes needed to make b of a: insert, remove or replace a character, or exchange two
 * neighbours (Damerau-Levenshtein, each place edited once). Words are at most 64 characters;
 * a longer one is infinitely far (UINT_MAX). */
unsigned nearest_distance(const char *a, const char *b);

/* A search: start from {.word = ...}, offer the candidates, read best (NULL: none is near).
 * Near means at most a third of the word's length changed, and one or two in a short word. Where
 * none is, the first one will do that begins or ends with the word, of three characters at least,
 * next to a "_" or "-": bind is for bind_ip. Its distance is NEAREST_PART. */
struct nearest {
    const char *word;
    const char *best;
    unsigned distance;
};
#define NEAREST_PART UINT_MAX
void nearest_offer(struct nearest *n, const char *candidate);

#endif
