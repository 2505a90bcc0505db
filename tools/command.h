/* The sub-commands of sparkc, one file each. A command gets its own name as argv[0]; it prints
 * results on stdout and messages on stderr, and returns EXIT_FINE, EXIT_FAILED or EXIT_USAGE. */
#ifndef SPARKC_TOOLS_COMMAND_H
#define SPARKC_TOOLS_COMMAND_H

typedef int Command(int argc, char **argv);

Command command_bench;       /* how fast a program runs, kernel by kernel */
Command command_check;       /* shapes, parameters, work, masked rules */
Command command_compile;     /* an object and a header for C programs */
Command command_finetune;    /* trains a classifier on labelled pictures */
Command command_info;        /* what this binary and this machine can do */
Command command_ir;          /* the graph after any pass, as text */
Command command_opt;         /* chosen passes on a graph or a program */
Command command_pretrain;    /* trains a network on pictures */
Command command_probe;       /* how good frozen features are on labelled pictures */
Command command_reconstruct; /* draws what a run has learnt to fill in */
Command command_scan;        /* good and bad pictures, sizes, mean and deviation */
Command command_tune;        /* measures which choices of code are fastest here */
Command command_verify;      /* against recorded vectors */
Command command_viz_mask;    /* how a mask vanishes under dense convolution */

#endif
