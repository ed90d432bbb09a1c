"""A valid document, once → functions that do for every document of its shape what graphql-core's executor does.

    inputs    an input type → a function that makes of a variable's value what a resolver is given
    literals  the value of an argument as it is written → a function that makes the same of this request's literals
    answers   an output type and what is selected of it → a function that makes of a payload what is answered
    operation a document → a Plan: for each root field its arguments, its resolver and its answer

They know the good case only. What does not fit is an exception to them, and graphql-core, which then does the work
itself, says what is wrong with it (services/graphql/app): so there is one place where errors come from.
"""
