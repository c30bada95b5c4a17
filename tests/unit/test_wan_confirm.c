#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pki_dir.h"
#include "wan/confirm.h"
#include "wan/statefile.h"

static char dir[64];

static const char one[] = "links: [{name: wan1, device: eth1}]\n";
static const char two[] = "links: [{name: wan2, device: eth2}]\n";

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/mpquic-confirm-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    pki_dir_remove(dir);
    return 0;
}

static void assert_confirmed(const char *want)
{
    char *text = NULL;
    size_t len;
    int rv = confirm_load(dir, &text, &len);

    assert_int_equal(rv, want ? 0 : -ENOENT);
    if (want)
        assert_string_equal(text, want);
    free(text);
}

/* What would be in force, by the name of its first link; "": nothing; NULL: not known. */
static void assert_chosen(bool trial, enum confirm_source source, const char *link)
{
    static struct gateway_config c;
    enum confirm_source got;

    assert_int_equal(confirm_choose(dir, trial, &c, &got, NULL), 0);
    assert_int_equal(got, source);
    if (link)
        assert_string_equal(c.n_links ? c.links[0].name : "", link);
}

static void begin(const char *text, unsigned seconds)
{
    struct confirm_trial t = {0};

    assert_int_equal(confirm_trial_begin(dir, text, seconds, true, NULL, &t), 0);
    assert_int_equal(strlen(t.id), CONFIRM_ID_MAX - 1);
    confirm_trial_done(&t);
}

static void a_trial_is_read_as_it_was_written(void **state)
{
    struct confirm_trial t = {
        .id = "0123456789abcdef", .boot = "a-b-c", .deadline_ns = 12345, .asks = true};
    struct confirm_trial back;
    char *file;
    size_t len;

    t.text = (char *)"a: 1\n\nb: 2\n"; /* the first empty line ends the head only */
    t.len = strlen(t.text);
    assert_int_equal(confirm_trial_format(&t, &file, &len), 0);
    assert_int_equal(confirm_trial_parse(file, len, &back), 0);
    assert_string_equal(back.id, t.id);
    assert_string_equal(back.boot, t.boot);
    assert_int_equal(back.deadline_ns, t.deadline_ns);
    assert_true(back.asks);
    assert_int_equal(back.len, t.len);
    assert_string_equal(back.text, t.text);
    confirm_trial_done(&back);
    assert_string_equal(back.link, "");
    for (size_t cut = 0; cut < len - t.len; cut++)
        assert_int_equal(confirm_trial_parse(file, cut, &back), -EBADMSG);
    file[0] = 'x';
    assert_int_equal(confirm_trial_parse(file, len, &back), -EBADMSG);
    free(file);

    snprintf(t.link, sizeof(t.link), "a-name-that-is-");
    assert_int_equal(confirm_trial_format(&t, &file, &len), 0);
    assert_int_equal(confirm_trial_parse(file, len, &back), 0);
    assert_string_equal(back.link, t.link);
    assert_string_equal(back.text, t.text);
    confirm_trial_done(&back);
    for (size_t cut = 0; cut < len - t.len; cut++)
        assert_int_equal(confirm_trial_parse(file, cut, &back), -EBADMSG);
    free(file);
}

static void it_is_over_in_time_and_after_a_boot(void **state)
{
    struct confirm_trial t = {.boot = "this", .deadline_ns = 100};

    assert_false(confirm_trial_is_over(&t, "this", 99));
    assert_true(confirm_trial_is_over(&t, "this", 100));
    assert_true(confirm_trial_is_over(&t, "that", 0));
}

static void confirmed_in_time(void **state)
{
    assert_int_equal(confirm_save(dir, one), 0);
    assert_int_equal(pki_dir_mode(dir, "gateway.confirmed"), 0600);
    begin(two, 100);
    assert_int_equal(pki_dir_mode(dir, "gateway.trial"), 0600);
    assert_chosen(true, CONFIRM_SOURCE_TRIAL, "wan2");
    assert_chosen(false, CONFIRM_SOURCE_CONFIRMED, "wan1");
    assert_confirmed(one);
    assert_int_equal(confirm_trial_accept(dir), 0);
    assert_confirmed(two);
    assert_int_equal(confirm_trial_accept(dir), -ENOENT);
    assert_chosen(true, CONFIRM_SOURCE_CONFIRMED, "wan2");
}

static void too_late(void **state)
{
    struct confirm_trial t = {0};

    assert_int_equal(confirm_save(dir, one), 0);
    begin(two, 100);
    assert_int_equal(confirm_trial_reject(dir), 0);
    assert_int_equal(confirm_trial_accept(dir), -ETIME);
    assert_chosen(true, CONFIRM_SOURCE_CONFIRMED, "wan1");
    /* it is there until somebody has taken back what it did */
    assert_int_equal(confirm_trial_begin(dir, two, 100, true, NULL, &t), -EBUSY);
    assert_int_equal(confirm_trial_load(dir, &t), 0);
    assert_true(confirm_is_over_now(&t));
    assert_int_equal(confirm_trial_end(dir, "another"), 0);
    assert_int_equal(confirm_trial_end(dir, t.id), 0);
    confirm_trial_done(&t);
    assert_int_equal(confirm_trial_load(dir, &t), -ENOENT);
    assert_confirmed(one);
}

/* A trial that nobody can read has to be taken back, too. */
static void a_trial_that_cannot_be_read(void **state)
{
    struct confirm_trial t = {0};

    assert_int_equal(confirm_save(dir, one), 0);
    assert_int_equal(statefile_write(dir, "gateway.trial", "nonsense", 8), 0);
    assert_int_equal(confirm_trial_load(dir, &t), -EBADMSG);
    assert_int_equal(confirm_trial_accept(dir), -ETIME);
    assert_int_equal(confirm_trial_begin(dir, two, 100, true, NULL, &t), -EBUSY);
    assert_chosen(true, CONFIRM_SOURCE_CONFIRMED, "wan1");
    assert_int_equal(confirm_trial_end(dir, NULL), 0);
    begin(two, 100);
}

static void what_there_is_to_begin_with(void **state)
{
    assert_chosen(true, CONFIRM_SOURCE_NONE, NULL);
    assert_int_equal(confirm_save(dir, ""), 0);
    assert_chosen(true, CONFIRM_SOURCE_NOTHING, "");
    assert_int_equal(confirm_save(dir, "no such key: 1\n"), 0);
    assert_chosen(true, CONFIRM_SOURCE_NONE, NULL);
    begin("links: [", 100);
    assert_int_equal(confirm_save(dir, one), 0);
    assert_chosen(true, CONFIRM_SOURCE_CONFIRMED, "wan1");
    assert_int_equal(confirm_forget(dir), 0);
    assert_chosen(true, CONFIRM_SOURCE_NONE, NULL);
    assert_int_equal(confirm_forget(dir), 0);
}

static void answers(void **state)
{
    char text[CONFIRM_TEXT_MAX];
    int error = 1;

    assert_int_equal(confirm_answer(dir, "aa", &error, text), -ENOENT);
    assert_int_equal(confirm_tell(dir, "aa", 0, ""), 0);
    assert_int_equal(confirm_answer(dir, "bb", &error, text), -ENOENT);
    assert_int_equal(confirm_answer(dir, "aa", &error, text), 0);
    assert_int_equal(error, 0);
    assert_int_equal(confirm_tell(dir, "bb", -EINVAL, "syntax error"), 0);
    assert_int_equal(confirm_answer(dir, "bb", &error, text), 0);
    assert_int_equal(error, -EINVAL);
    assert_string_equal(text, "syntax error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trial_is_read_as_it_was_written),
        cmocka_unit_test(it_is_over_in_time_and_after_a_boot),
        cmocka_unit_test_setup_teardown(confirmed_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trial_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(what_there_is_to_begin_with, setup, teardown),
        cmocka_unit_test_setup_teardown(answers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
