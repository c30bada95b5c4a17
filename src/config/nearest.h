/* "Did you mean": the nearest of a set of words. */
#ifndef CONFIG_NEAREST_H
#define CONFIG_NEAREST_H

#include <stddef.h>

/* Changes needed to make b of a: insert, remove or replace a character, or exchange two
 * neighbours (Damerau-Levenshtein, each place edited once). Words are at most 64 characters;
 * a longer one is infinitely far (UINT_MAX). */
unsigned nearest_distance(const char *a, const char *b);

/* A search: start from {.word = ...}, offer the candidates, read best (NULL: none is near).
 * Near means at most a third of the word's length changed, and one or two in a short word. */
struct nearest {
    const char *word;
    const char *best;
    unsigned distance;
};
void nearest_offer(struct nearest *n, const char *candidate);

#endif
