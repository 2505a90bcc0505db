#include "tools/inspect/text_diff.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* diff says 0: equal, 1: different, 2 or more: trouble. */
enum { DIFF_TROUBLE = 2, MOST_ARGUMENTS = 10 };

/* A file that has no name and holds the text. */
static FILE *write_text(const char *text) {
    FILE *file = tmpfile();
    if (file && fputs(text, file) >= 0 && fflush(file) == 0)
        return file;
    if (file)
        fclose(file);
    return NULL;
}

static Status run_diff(Arena *arena, char *const *arguments, int from, int to) {
    posix_spawn_file_actions_t files;
    pid_t child;
    int result = 0;
    posix_spawn_file_actions_init(&files);
    /* A descriptor that is made of itself stays open in the child. */
    posix_spawn_file_actions_adddup2(&files, from, from);
    posix_spawn_file_actions_adddup2(&files, to, to);
    int error = posix_spawnp(&child, arguments[0], &files, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    if (error)
        return status_failure(arena, "diff cannot be run: %s; install diffutils", strerror(error));
    while (waitpid(child, &result, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(result) || WEXITSTATUS(result) >= DIFF_TROUBLE)
        return status_failure(arena, "diff has failed");
    return STATUS_FINE;
}

/* Both texts are in files that diff finds by their descriptors. */
static Status diff_files(Arena *arena, DiffSide from, DiffSide to, const char *heading, bool color,
                         FILE *left, FILE *right) {
    char *arguments[MOST_ARGUMENTS] = {
        arena_format(arena, "diff"), arena_format(arena, "--unified"),
        arena_format(arena, "--color=%s", color ? "always" : "never"),
        arena_format(arena, "--label=%s", from.label), arena_format(arena, "--label=%s", to.label)};
    int count = 5;
    if (heading)
        arguments[count++] = arena_format(arena, "--show-function-line=%s", heading);
    arguments[count++] = arena_format(arena, "/dev/fd/%d", fileno(left));
    arguments[count++] = arena_format(arena, "/dev/fd/%d", fileno(right));
    arguments[count] = NULL;
    fflush(stdout);
    return run_diff(arena, arguments, fileno(left), fileno(right));
}

Status text_diff_print(Arena *arena, DiffSide from, DiffSide to, const char *heading, bool color) {
    FILE *left = write_text(from.text), *right = write_text(to.text);
    Status status = left && right ? diff_files(arena, from, to, heading, color, left, right)
                                  : status_failure(arena, "a temporary file cannot be written: %s",
                                                   strerror(errno));
    if (left)
        fclose(left);
    if (right)
        fclose(right);
    return status;
}
