/* A `.cnn` file with all that it includes, as the front end's own parts see it. */
#ifndef SPARKC_FRONTEND_PROGRAM_H
#define SPARKC_FRONTEND_PROGRAM_H

#include "frontend/ast.h"
#include "frontend/frontend.h"
#include "frontend/source.h"
#include "frontend/table.h"

enum { PROGRAM_MOST_FILES = 100, PROGRAM_MOST_BYTES = 1 << 20 };

struct FrontendFile {
    Arena *arena;
    Sources sources;
    uint32_t file_count; /* of the sources, those that are files: the first ones */
    FrontendAccess access;
    VECTOR(Definition *) definitions; /* those of the file itself first */
    Table *names;                     /* of definitions */
    VECTOR(Span) includes;            /* the statements of all files, file by file */
    VECTOR(FrontendNetwork) networks;
    Table *remarks; /* places of the warnings and notes of all builds */
    bool damaged;   /* a definition could not be read */
};

/* Reading from disk: regular files only, links followed. */
FrontendAccess access_disk(void);

/* The definition of a name, or NULL. */
Definition *program_find(const FrontendFile *file, const char *name);

/* Parses the text of --set, `name = expression ...`. False after errors, which are reported. */
bool program_parse_settings(FrontendFile *file, uint32_t source, ArgumentList *given);

/* Checks the names in all definitions: variables, callees and their arguments; gives variables
 * their slots. Reports everything it finds. */
void check_program(FrontendFile *file);

/* The same for expressions outside any body: the arguments of a variant or of --set. */
void check_outside(FrontendFile *file, const ArgumentList *arguments);

/* Reports that `network`, which comes from `base`, has no parameter `name`. */
void check_report_parameter(FrontendFile *file, const Definition *base, const char *network,
                            const char *name, Span span);

/* The network that a variant comes from in the end; NULL (after a report) if there is none. */
const Definition *program_base(FrontendFile *file, const Definition *network);

/* The index of a parameter of a block or network, or -1. */
int definition_parameter(const Definition *definition, const char *name);

#endif
