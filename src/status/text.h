/* Texts of this folder: making them safe, and times. */
#ifndef STATUS_TEXT_H
#define STATUS_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the printable UTF-8 character at s, 0 when there is none (control characters of both
 * sets, overlong forms, surrogates, a broken sequence). */
size_t text_character(const char *s);

/* Read what status_time_str() writes; 0 when it is none (NULL too). */
int64_t text_parse_time(const char *s);

#endif
