/* sparkc: picks the sub-command. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/text.h"
#include "tools/command.h"
#include "tools/options.h"

static const struct {
    const char *name;
    Command *run;
    const char *help, *example;
} commands[] = {
    {"check", command_check, "shapes, parameters, work and what masking does to each layer",
     "sparkc check models/resnet.cnn --network resnet50"},
    {"ir", command_ir, "graph, kernels or code of a network after any pass",
     "sparkc ir models/tutorial.cnn --after sparsify"},
    {"opt", command_opt, "chosen passes over the text of a graph or a program",
     "sparkc opt step.ir --passes simplify,cse,dce"},
    {"verify", command_verify, "a training step against recorded vectors",
     "sparkc verify tests/reference/custom-cnn.cnn --reference tests/reference/custom-cnn"},
    {"bench", command_bench, "how fast a step runs, and each of its kernels",
     "sparkc bench models/resnet.cnn --network resnet50 --batch 8"},
    {"pretrain", command_pretrain, "a network on pictures without labels",
     "sparkc pretrain mynet.cnn --data pictures/ --out run"},
    {"finetune", command_finetune, "a classifier on labelled pictures",
     "sparkc finetune --from run --data pets/train --test pets/test --out tuned"},
    {"reconstruct", command_reconstruct, "pictures of what a run has learnt to fill in",
     "sparkc reconstruct run --images cat.jpg"},
    {"probe", command_probe, "how good a run's features are, on labelled pictures",
     "sparkc probe run --data pets/train --test pets/test"},
    {"scan", command_scan, "which pictures can be read, their sizes, mean and deviation",
     "sparkc scan pictures/"},
    {"viz-mask", command_viz_mask,
     "how a mask vanishes under dense convolution and stays under ours",
     "sparkc viz-mask models/resnet.cnn --network resnet50 --picture cat.jpg"},
    {"compile", command_compile, "an entry of a network to an object file and a header",
     "sparkc compile models/tutorial.cnn --entry logits -o tutorial.o"},
    {"info", command_info, "what this binary and this machine can do", "sparkc info --json"},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fputs("Usage: sparkc COMMAND [OPTION...]\n"
          "Pretrains convolutional networks the SparK way, by compiling them.\n\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
    fputs("\nExamples:\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %s\n", commands[i].example);
    fputs("\n`sparkc COMMAND --help` tells more. Exit status: 0 fine, 1 failed, 2 wrong usage.\n",
          out);
}

static int unknown_command(const char *name) {
    const char *names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    const char *nearest = text_nearest(name, names, COMMAND_COUNT);
    if (nearest)
        fprintf(stderr, "sparkc: there is no command %s; did you mean %s?\n", name, nearest);
    else
        fprintf(stderr, "sparkc: there is no command %s; `sparkc --help` lists them\n", name);
    return EXIT_USAGE;
}

/* The command's own name in its messages and its --help; -h, which argp does not know, means
 * --help. */
static int run_command(Command *command, int argc, char **argv) {
    char help[] = "--help";
    char name[32];
    snprintf(name, sizeof name, "sparkc %s", argv[0]);
    argv[0] = name;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0)
            argv[i] = help;
    }
    return command(argc, argv);
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_FINE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("sparkc " SPARKC_VERSION);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return run_command(commands[i].run, argc - 1, argv + 1);
    }
    return unknown_command(argv[1]);
}

/* A reader that went away is no failure worth a message. */
static int finish_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno != EPIPE)
        fprintf(stderr, "sparkc: writing the result: %s\n", strerror(errno));
    return status == EXIT_FINE ? EXIT_FAILED : status;
}

/* Large arrays go back to the system when they are freed. Left alone, glibc keeps up to twice the
 * largest that was ever freed, which is a picture's or a weight's file, for the whole run. */
static void limit_heap(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

int main(int argc, char **argv) {
    limit_heap();
    return finish_output(run(argc, argv));
}
