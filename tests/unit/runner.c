/*
 * Runs the Check suites of tests/unit/test_*.c; exits non-zero if a test failed. Check's own variables work: CK_FORK=no, CK_RUN_SUITE=name,
 * CK_RUN_CASE=name, CK_VERBOSITY=verbose.
 */
#include <check.h>
#include <stdlib.h>

#define X(n) Suite *n##_suite(void);
#include "unit_suites.inc"
#undef X

int main(void)
{
	SRunner *r = srunner_create(NULL);
	int failed;

#define X(n) srunner_add_suite(r, n##_suite());
#include "unit_suites.inc"
#undef X
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
