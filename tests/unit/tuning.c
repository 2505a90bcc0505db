/* The file of tuned choices: what is written is read back, and nothing is taken from a file that is
 * not whole, not this processor's or not this build's. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tests/support/folder.h"
#include "tests/unit/harness.h"
#include "tools/tune/tuning_file.h"

static const char key[] = "contract rows=8 from=8 in=4 out=4 taps=9 groups=1 code=0123456789abcdef";

/* A file with one contraction. */
static TuningFile write_one(Folder folder, int threads) {
    CpuTarget target;
    TuningFile file;
    Choices choices;
    CpuTuning tuning = {.arena = folder.arena};
    CU_ASSERT_FATAL(status_fine(cpu_target(folder.arena, NULL, NULL, false, &target)));
    CU_ASSERT_FATAL(tuning_file_find(folder.arena, folder.path, &target, threads, &file));
    CU_ASSERT_FATAL(choices_parse("depth=384 read=packed", CHOICE_CONTRACT, &choices));
    tuning_set(&tuning, key, &choices);
    CU_ASSERT_FATAL(status_fine(tuning_file_write(folder.arena, &file, &tuning)));
    return file;
}

static char *load(Folder folder, const TuningFile *file) {
    const char *error;
    size_t length;
    char *text = text_read_file(folder.arena, file->path, 1 << 20, &length, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    return text;
}

/* Must be refused, for a reason that says so. */
static void expect_refused(Folder folder, const TuningFile *file, const char *reason) {
    CpuTuning *tuning;
    Status status = tuning_file_read(folder.arena, file, &tuning);
    CU_ASSERT_EQUAL(tuning->contractions.count, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    if (!strstr(status.message, reason) || !strstr(status.message, file->path))
        printf("\n%s\n", status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, reason));
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "the default choices are used"));
}

static void reads_back_what_it_writes(void) {
    Folder folder = folder_create();
    CpuTuning *tuning;
    TuningFile file = write_one(folder, 2);
    CU_ASSERT_TRUE(status_fine(tuning_file_read(folder.arena, &file, &tuning)));
    CU_ASSERT_EQUAL_FATAL(tuning->contractions.count, 1);
    CU_ASSERT_STRING_EQUAL(tuning->contractions.items[0].key, key);
    CU_ASSERT_STRING_EQUAL(choices_text(folder.arena, &tuning->contractions.items[0].choices),
                           "depth=384 read=packed");
    folder_destroy(folder);
}

static void no_file_is_an_empty_tuning(void) {
    Folder folder = folder_create();
    CpuTuning *tuning;
    TuningFile file = write_one(folder, 2);
    CU_ASSERT_EQUAL(remove(file.path), 0);
    CU_ASSERT_TRUE(status_fine(tuning_file_read(folder.arena, &file, &tuning)));
    CU_ASSERT_EQUAL(tuning->contractions.count, 0);
    folder_destroy(folder);
}

static void threads_and_levels_have_files_of_their_own(void) {
    Folder folder = folder_create();
    CpuTarget target;
    TuningFile two = write_one(folder, 2), three = write_one(folder, 3), other;
    CU_ASSERT_STRING_NOT_EQUAL(two.path, three.path);
    CU_ASSERT_FATAL(status_fine(cpu_target(folder.arena, NULL, NULL, false, &target)));
    target.cpu = "another";
    CU_ASSERT_TRUE(tuning_file_find(folder.arena, folder.path, &target, 2, &other));
    CU_ASSERT_STRING_NOT_EQUAL(two.path, other.path);
    folder_destroy(folder);
}

/* A file with `old` replaced by `new` has to be refused. */
static void expect_refused_with(const char *old, const char *new, const char *reason) {
    Folder folder = folder_create();
    TuningFile file = write_one(folder, 2);
    char *text = load(folder, &file), *place = strstr(text, old);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    const char *changed =
        arena_format(folder.arena, "%.*s%s%s", (int)(place - text), text, new, place + strlen(old));
    folder_write_text(folder, strrchr(file.path, '/') + 1, changed);
    expect_refused(folder, &file, reason);
    folder_destroy(folder);
}

static void refuses_what_is_not_its_own(void) {
    expect_refused_with("\"format\": 1", "\"format\": 2", "another version of sparkc");
    expect_refused_with("\"cpu\": \"", "\"cpu\": \"Another ", "another processor");
    expect_refused_with("\"level\": \"", "\"level\": \"x", "another processor");
    expect_refused_with("\"threads\": 2", "\"threads\": 3", "another number of threads");
    expect_refused_with("\"build\": \"", "\"build\": \"0", "another build of sparkc");
}

static void refuses_unknown_choices(void) {
    expect_refused_with("depth=384", "depth=385", "choices that there are not");
    expect_refused_with("depth=384", "depth=-384", "choices that there are not");
    expect_refused_with("depth=384", "stretch=64", "choices that there are not");
    expect_refused_with("read=packed", "read=sideways", "choices that there are not");
    expect_refused_with("\"depth=384 read=packed\"", "384", "choices that there are not");
    expect_refused_with("contract rows", "convolution rows", "choices that there are not");
    expect_refused_with("\"contractions\": {", "\"others\": {", "no list of contractions");
}

/* Cut anywhere, and with any byte changed, a file is refused or says legal choices. */
static void survives_damage(void) {
    Folder folder = folder_create();
    TuningFile file = write_one(folder, 2);
    const char *name = strrchr(file.path, '/') + 1;
    char *text = load(folder, &file);
    size_t length = strlen(text), refused = 0;
    CpuTuning *tuning;
    for (size_t cut = 0; cut + 2 < length; cut++) {
        folder_write(folder, name, text, cut);
        expect_refused(folder, &file, "is damaged");
    }
    for (size_t i = 0; i < length; i++) {
        char *changed = arena_copy_text(folder.arena, text, length);
        changed[i] ^= 0x11;
        folder_write(folder, name, changed, length);
        refused += !status_fine(tuning_file_read(folder.arena, &file, &tuning));
    }
    CU_ASSERT(refused > length / 2);
    folder_destroy(folder);
}

static void refuses_what_is_no_file(void) {
    Folder folder = folder_create();
    TuningFile file = write_one(folder, 2);
    CpuTuning *tuning;
    CU_ASSERT_EQUAL(remove(file.path), 0);
    CU_ASSERT_EQUAL(mkdir(file.path, 0700), 0);
    CU_ASSERT_FALSE(status_fine(tuning_file_read(folder.arena, &file, &tuning)));
    CU_ASSERT_EQUAL(tuning->contractions.count, 0);
    Status status = tuning_file_write(folder.arena, &file, tuning);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "cannot be written"));
    folder_destroy(folder);
}

static CU_TestInfo tests[] = {
    {"reads back what it writes", reads_back_what_it_writes},
    {"no file is an empty tuning", no_file_is_an_empty_tuning},
    {"threads and levels have files of their own", threads_and_levels_have_files_of_their_own},
    {"refuses what is not its own", refuses_what_is_not_its_own},
    {"refuses unknown choices", refuses_unknown_choices},
    {"survives damage", survives_damage},
    {"refuses what is no file", refuses_what_is_no_file},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {{.pName = "tuning", .pTests = tests}, CU_SUITE_INFO_NULL};
